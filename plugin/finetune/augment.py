"""RandAugment for detection and segmentation pipelines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from numpy.typing import NDArray

from ..errors import InputError, nearest
from ..registry import TRANSFORMS
from .warp import warp

Array = NDArray[Any]
MAX_MAGNITUDE = 10

# Each takes an image (H, W, 3) of uint8, BGR, and a strength from -1 to 1. 0 changes nothing, but for the
# first two, which have no strength. Ranges: arXiv 1805.09501, table 6.
PHOTOMETRIC: dict[str, Callable[[Array, float], Array]] = {
    "AutoContrast": lambda img, strength: mmcv.auto_contrast(img),
    "Equalize": lambda img, strength: mmcv.imequalize(img),
    "Brightness": lambda img, strength: mmcv.adjust_brightness(img, 1 + 0.9 * strength),
    "Color": lambda img, strength: mmcv.adjust_color(img, 1 + 0.9 * strength),
    "Contrast": lambda img, strength: mmcv.adjust_contrast(img, 1 + 0.9 * strength),
    "Sharpness": lambda img, strength: mmcv.adjust_sharpness(img, 1 + 0.9 * strength),
    "Posterize": lambda img, strength: mmcv.posterize(img, 8 - round(4 * abs(strength))),
    "Solarize": lambda img, strength: mmcv.solarize(img, 256 * (1 - abs(strength))),
}


def _rotation(strength: float, width: int, height: int) -> list[list[float]]:
    angle = math.radians(30 * strength)
    return [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]


# Each takes strength, width and height, and gives a matrix about the image's centre.
GEOMETRIC: dict[str, Callable[[float, int, int], list[list[float]]]] = {
    "Rotate": _rotation,
    "ShearX": lambda strength, width, height: [[1, 0.3 * strength, 0], [0, 1, 0], [0, 0, 1]],
    "ShearY": lambda strength, width, height: [[1, 0, 0], [0.3 * strength, 1, 0], [0, 0, 1]],
    "TranslateX": lambda strength, width, height: [[1, 0, 0.45 * strength * width], [0, 1, 0], [0, 0, 1]],
    "TranslateY": lambda strength, width, height: [[1, 0, 0], [0, 1, 0.45 * strength * height], [0, 0, 1]],
}
OPS = ("Identity", *PHOTOMETRIC, *GEOMETRIC)


@TRANSFORMS.register_module()
class RandAugment(BaseTransform):
    """``num_ops`` operations of one ``magnitude``, drawn anew for each image (arXiv 1909.13719).

    For pipelines of mmdet (boxes, instance masks, panoptic label maps) and mmseg (label maps), between
    resizing and packing. Photometric operations are mmcv's. Geometric ones carry everything along::

        dict(type="mmbackbones.RandAugment", num_ops=2, magnitude=5)

    The operations are the paper's 14, drawn with replacement, each with the same probability.

    Deviations: magnitude 0 changes nothing (but for AutoContrast and Equalize) and 10 changes most, for
    every operation; in the paper's table Posterize and Solarize are strongest at 0, and colour
    operations leave the image alone at 5. Rotation and shear are about the image's centre. An operation
    that would move every object out of the image is left out.

    mmdet's own ``Rotate``, ``ShearX`` ... are not used: version 3.3.0 rounds magnitudes to one decimal,
    so that a translation is by 0 or 10 percent, keeps boxes of no area, and rotates polygons about the
    image's corner.

    Args:
        num_ops: operations per image, at least 1.
        magnitude: strength of all of them, from 0 to 10.
        ops: names of those to draw from, all of ``OPS`` by default.
        img_border_value: grey value of new areas of the image, 0 to 255.
        seg_ignore_label: value of new areas of label maps.

    Raises:
        InputError: a value out of range or an unknown operation; when it runs, an image that is not of 8
            bits and three channels, or annotations that it cannot move.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: float = 5,
        ops: Sequence[str] = OPS,
        img_border_value: float = 128,
        seg_ignore_label: int = 255,
    ) -> None:
        if isinstance(num_ops, bool) or not isinstance(num_ops, int) or num_ops < 1:
            raise InputError(f"num_ops={num_ops!r} must be a whole number of at least 1.")
        number = isinstance(magnitude, (int, float)) and not isinstance(magnitude, bool)
        if not (number and 0 <= magnitude <= MAX_MAGNITUDE):
            raise InputError(f"magnitude={magnitude!r} is out of range: 0 (weakest) to {MAX_MAGNITUDE}.")
        if not 0 <= img_border_value <= 255:
            raise InputError(f"img_border_value={img_border_value!r} is out of range: 0 to 255.")
        if isinstance(ops, str) or not ops:
            raise InputError(f"ops={ops!r} must list names, of {', '.join(OPS)}.")
        for name in ops:
            if name not in OPS:
                near = nearest(name, OPS) or OPS
                raise InputError(f"Unknown operation '{name}' in ops. Nearest: {', '.join(near)}.")
        self.num_ops, self.magnitude, self.ops = num_ops, magnitude, tuple(ops)
        self.img_border_value, self.seg_ignore_label = img_border_value, seg_ignore_label

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """The pipeline's ``results``, changed; which keys follow the image: :func:`~.warp.warp`."""
        for name in np.random.choice(self.ops, self.num_ops):
            strength = self.magnitude / MAX_MAGNITUDE * (1 if np.random.rand() < 0.5 else -1)
            results = self.apply(str(name), results, strength)
        return results

    def apply(self, name: str, results: dict[str, Any], strength: float) -> dict[str, Any]:
        """One operation with a strength from -1 to 1; returns a new dict."""
        img = results["img"]
        if img.dtype != np.uint8 or img.shape[2:] != (3,):
            raise InputError(
                f"RandAugment needs an image of uint8 and 3 channels, got {img.dtype} {img.shape}. Place it "
                f"before normalisation, and load without to_float32."
            )
        if name in PHOTOMETRIC:
            return {**results, "img": PHOTOMETRIC[name](img, strength).astype(np.uint8)}
        if name in GEOMETRIC:
            height, width = img.shape[:2]
            centre = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
            about = centre @ np.array(GEOMETRIC[name](strength, width, height)) @ np.linalg.inv(centre)
            return warp(results, about, self.img_border_value, self.seg_ignore_label)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_ops={self.num_ops}, magnitude={self.magnitude}, ops={self.ops})"
