"""Necks: modules between a backbone's maps and the heads, registered as ``mmbackbones.<Name>``."""

from .bifpn import BiFPN
from .fpn import FPN
from .level_norm import LevelNorm
from .pafpn import PAFPN
from .simple_feature_pyramid import SimpleFeaturePyramid
from .ssdlite import SSDLiteNeck
from .to_strides import ToStrides
from .yolov4_tiny import YOLOV4TinyNeck

__all__ = [
    "FPN",
    "PAFPN",
    "BiFPN",
    "LevelNorm",
    "SSDLiteNeck",
    "SimpleFeaturePyramid",
    "ToStrides",
    "YOLOV4TinyNeck",
]
