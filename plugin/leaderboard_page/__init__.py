"""The page of a board: its records as one HTML file that asks nothing of any network."""
