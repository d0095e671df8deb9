"""Sets the image scale everywhere in a config: resizing, crops, mosaics, padding, sliding windows."""

from __future__ import annotations

import re
from typing import Any

from mmengine.config import Config

from ..errors import InputError
from .configs import kind, pipelines, walk

_RESIZERS = ("Resize", "RandomResize", "RandomChoiceResize", "RandomFlipResize", "FixScaleResize")
# Keys that hold sizes in pixels as (a, b) or a list of such.
_SIZES = ("scale", "scales", "img_scale", "crop_size", "size", "random_size_range", "img_size", "stride")
_SIZED = (
    *_RESIZERS,
    "RandomCrop",
    "RandomCenterCropPad",
    "Pad",
    "Mosaic",
    "CachedMosaic",
    "MixUp",
    "CachedMixUp",
    "RandomMosaic",
    "BatchSyncRandomResize",
    "BatchFixedSizePad",
    "BatchResize",
)
_LEAST, _MOST = 32, 32766  # cv2.remap takes sides below 2**15, and images above it fill the memory
_GRID = 8  # crops stay on this grid: sizes like 179 make odd maps at every level


def parse_scale(text: str, option: str = "--img-scale") -> tuple[int, int]:
    """``'640x480'`` as (width, height) in pixels; ``option`` is what the user wrote it behind.

    Raises:
        InputError: not two whole numbers from 32 to 32766.
    """
    match = re.fullmatch(r"(\d+)\s*[x, ]\s*(\d+)", text.strip())
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not _LEAST <= min(size) <= max(size) <= _MOST:
        raise InputError(
            f"{option} '{text}' is not WIDTHxHEIGHT in pixels, both >= {_LEAST} and <= {_MOST}; for example "
            f"640x480 or 640 480."
        )
    return size


def reference_scale(cfg: Config) -> tuple[int, int] | None:
    """The (width, height) that the test pipeline resizes to; None where nothing is resized to a size."""
    for pipeline in pipelines(cfg, "test", "val", "train"):
        for _, node in walk(pipeline):
            if kind(node) in _RESIZERS and _is_size(node.get("scale")):
                return node["scale"][0], node["scale"][1]
    return None


def set_scale(cfg: Config, scale: tuple[int, int]) -> None:
    """Resize images to ``scale`` (width, height): exactly where the config has its reference scale.

    All other sizes (ranges for training, crops, mosaics, padding of the batch, sliding windows) change
    by the ratio of the shorter sides, so that a crop shows as much of an image as before.

    Raises:
        InputError: the config resizes no image, so there is no scale to set.
    """
    reference = reference_scale(cfg)
    if reference is None:
        raise InputError("--img-scale: the config's pipelines have no Resize with a scale to set.")
    ratio = min(scale) / min(reference)

    def resized(value: Any, exact: bool) -> Any:
        if _is_size(value):
            if exact and tuple(value) == reference:
                return scale
            return tuple(max(32, round(side * ratio / _GRID) * _GRID) for side in value)
        if isinstance(value, (list, tuple)) and value and all(_is_size(item) for item in value):
            return [resized(item, exact) for item in value]
        return value

    def visit(tree: Any) -> None:
        for _, node in walk(tree):
            for key in _SIZES:
                if key in node and kind(node) in _SIZED:
                    node[key] = resized(node[key], exact=kind(node) in _RESIZERS)

    for pipeline in pipelines(cfg, "train", "val", "test"):
        visit(pipeline)
    visit(cfg.get("custom_hooks") or [])  # pipelines for the last epochs
    preprocessor = cfg.model.get("data_preprocessor", {})
    visit(preprocessor)
    for node in (preprocessor, preprocessor.get("test_cfg") or {}, cfg.model.get("test_cfg") or {}):
        for key in ("size", "crop_size", "stride"):
            if key in node:
                node[key] = resized(node[key], exact=False)


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(side, int) and side > 1 for side in value)
    )
