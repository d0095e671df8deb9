"""Which backbone to take: selection tables, costs and records of trainings, ranked within limits."""
