"""Backbones whose maps are read inside a stage or block: early, expanded, or before an activation."""
