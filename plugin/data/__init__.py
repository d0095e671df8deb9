"""Data sets: the generated one (``shapes``) and the recognition of a user's own (``layouts``)."""
