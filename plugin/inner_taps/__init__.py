"""Backbones whose maps are read inside a block: expanded, or before an activation."""
