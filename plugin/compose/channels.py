"""Images that are no photos: a config that reads all of their channels."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from ..errors import InputError
from .configs import kind, pipelines, walk

if TYPE_CHECKING:
    from ..data.dataset import DataSet

LOADER = "mmbackbones.LoadChannels"
_PARTS = ("train", "val", "test")
#: Transforms of mmdet, mmseg and this package that know colours of 8 bits; and padding, in which OpenCV fills
#: four channels at most: the data_preprocessor pads too.
_FOR_PHOTOS = (
    "Pad",
    *("PhotoMetricDistortion", "YOLOXHSVRandomAug", "RandAugment", "CLAHE", "RGB2Gray", "AdjustGamma"),
    *("AutoContrast", "Brightness", "Color", "ColorTransform", "Contrast", "Equalize", "Invert", "Posterize"),
    *("Sharpness", "Solarize", "SolarizeAdd", "Corrupt"),
)
#: Transforms that make images of three channels, or have OpenCV fill more than it can.
_OF_THREE = ("Mosaic", "CachedMosaic", "MixUp", "CachedMixUp", "RandomMosaic", "RandomAffine")


def channels_read(cfg: Config) -> int | None:
    """How many channels the files have that a config reads as they are; None of one that reads photos."""
    for pipeline in pipelines(cfg, *reversed(_PARTS)):
        for step in pipeline:
            if kind(step) == "LoadChannels":
                return int(step["channels"])
    return None


def set_channels(cfg: Config, data: DataSet, *, trains: bool) -> list[str]:
    """Let ``cfg`` read the channels that the images of ``data`` have; returns notes, none for photos.

    A config that reads as many already stays as it is.

    Raises:
        InputError: it reads another number of channels, or its backbone or pipeline takes three alone.
    """
    known = channels_read(cfg)
    if known == data.channels:
        return []
    images = _described(data.channels)
    if known is not None or not trains:
        raise InputError(
            f"The images of '{data.root}' are {images}, but the model is for {_described(known)}. Give "
            f"data of that kind, or train a model for these: mmbackbones train CONFIG --data {data.root}."
        )
    from ..data.dataset import image_files
    from ..data.stacks import statistics

    channels = int(data.channels or 0)
    _set_backbone(cfg.model.backbone, channels)
    mean, std = statistics(image_files(data, "train"))
    preprocessor = cfg.model.setdefault("data_preprocessor", {})
    preprocessor.update(mean=mean, std=std, bgr_to_rgb=False, rgb_to_bgr=False)
    if kind(preprocessor) == "DetDataPreprocessor":
        preprocessor["type"] = "mmbackbones.DetDataPreprocessor"
    left_out = []
    for pipeline in pipelines(cfg, *_PARTS):
        left_out += _set_pipeline(pipeline, channels, mean)
    without = f"; without {', '.join(dict.fromkeys(left_out))}, made for photos" if left_out else ""
    return [f"in_channels={channels}, with mean and std measured on the images{without}"]


def _described(channels: int | None) -> str:
    if channels is None:
        return "photos"
    return f"files of {channels} channel{'s' * (channels != 1)} (.npy, or TIFF with more than a photo has)"


def _set_backbone(backbone: dict[str, Any], channels: int) -> None:
    """Write ``in_channels`` into a backbone, and into the one that it holds."""
    from mmengine.registry import MODELS

    for node in (backbone, backbone.get("backbone_cfg")):
        if node is None:
            continue
        own = node.get("in_channels", 3)
        if own not in (3, channels):
            raise InputError(f"The images have {channels} channels, but the config says in_channels={own}.")
        made = MODELS.get(str(node["type"]))
        ours = str(node["type"]).startswith("mmbackbones.")
        if not ours and made is not None and "in_channels" not in inspect.signature(made).parameters:
            raise InputError(
                f"The images have {channels} channels, but a {kind(node)} takes 3 alone, without "
                f"in_channels. Exchange it: mmbackbones swap CONFIG BACKBONE."
            )
        node["in_channels"] = channels


def _set_pipeline(pipeline: list[dict[str, Any]], channels: int, mean: Sequence[float]) -> list[str]:
    """Let it load ``channels``; returns what was left out.

    Raises:
        InputError: a transform that makes images of three channels.
    """
    left_out = [kind(step) for step in pipeline if kind(step) in _FOR_PHOTOS]
    pipeline[:] = [step for step in pipeline if kind(step) not in _FOR_PHOTOS]
    for number, step in enumerate(pipeline):
        if kind(step) == "LoadImageFromFile":
            pipeline[number] = {"type": LOADER, "channels": channels}
    for _, step in walk(pipeline):
        if kind(step) in _OF_THREE:
            raise InputError(
                f"The images have {channels} channels, but the pipeline's {kind(step)} is for photos. Take a "
                f"config without it, or take it out of the pipeline."
            )
        if kind(step) == "Expand":
            step.update(mean=list(mean), to_rgb=False)
    return left_out
