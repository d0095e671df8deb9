"""What the package costs and saves, measured: ``make bench``."""
