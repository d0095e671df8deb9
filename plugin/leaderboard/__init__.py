"""Which backbone for this data: equal trainings of many, one record each, and what can be told from them."""
