"""Pretrained weights: files in, names matched, loads reported; only data is read, never code."""
