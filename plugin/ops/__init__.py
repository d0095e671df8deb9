"""Operators of mmcv without a compiler, with torchvision and torch: what stands in for ``mmcv._ext``."""
