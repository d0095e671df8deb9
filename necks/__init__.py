"""Necks: modules between a backbone's maps and the heads, registered as ``mmbackbones.<Name>``."""

from .fpn import FPN

__all__ = ["FPN"]
