"""Heads, losses and preprocessors that mmdet and mmseg lack, registered for ``type='mmbackbones.<name>'``.

A head's module, and with it mmdet or mmseg, is imported when the head is asked for: who has one of the
two alone meets only what he uses.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..errors import naming_extras
from ..registry import MODELS, TASK_UTILS

# Registered name -> the module of this folder that has the class.
HEADS = {
    "BiSeNet": "bisenet",
    "DeepLabV3Head": "deeplabv3",
    "EfficientDetHead": "efficientdet",
    "LRASPPHead": "lraspp",
    "LinearHead": "linear",
    "SSDLiteHead": "ssdlite",
    "SwiftNetHead": "swiftnet",
    "TorchvisionFCOSHead": "torchvision_fcos",
    "TorchvisionMaskHead": "torchvision_masks",
    "UNetPlusPlusHead": "unetpp",
    "YOLOV4Head": "yolov4_tiny",
}
LOSSES = {
    "WeightedCrossEntropyLoss": "weighted_cross_entropy",
}
PREPROCESSORS = {
    "DetDataPreprocessor": "preprocessor",
}
# Anchors and box coders, of these heads and of torchvision's detectors.
PARTS = {
    "RelativeAnchorGenerator": "relative_anchors",
    "TorchvisionAnchorGenerator": "torchvision_anchors",
    "TorchvisionPointGenerator": "torchvision_anchors",
    "YOLOV4BBoxCoder": "yolov4_tiny",
}


def __getattr__(name: str) -> Any:
    """The class ``name``, imported now."""
    module = {**HEADS, **LOSSES, **PREPROCESSORS, **PARTS}.get(name)
    if module is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    with naming_extras():
        return getattr(import_module(f"{__name__}.{module}"), name)


def _imported_when_built(name: str) -> Callable[..., Any]:
    def build(**kwargs: Any) -> Any:
        return __getattr__(name)(**kwargs)

    build.__name__ = build.__qualname__ = name
    return build


for _registry, _table in ((MODELS, HEADS), (MODELS, LOSSES), (MODELS, PREPROCESSORS), (TASK_UTILS, PARTS)):
    for _name in _table:
        _registry.register_module(name=_name, module=_imported_when_built(_name))
