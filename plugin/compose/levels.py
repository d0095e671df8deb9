"""One map of a backbone, and the backbones whose maps are known without a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..feature_nets.arguments import choose_strides
from ..feature_nets.specs import get_spec
from .backbones import channels_with, is_the_catalogs

#: Height and width in pixels of the image that is sent through: not square, so that no side is mistaken.
IMAGE = (512, 640)
#: ResNets of known widths, and the arguments that leave them so; the strides of a Swin.
_RESNETS = ("ResNet", "ResNetV1c", "ResNetV1d")
_RESNET_ARGS = {
    *("type", "depth", "num_stages", "strides", "out_indices", "dilations", "contract_dilation"),
    *("norm_cfg", "norm_eval", "frozen_stages", "style", "deep_stem", "avg_down", "in_channels", "with_cp"),
    "multi_grid",
}
_SWIN = (4, 2, 2, 2)


@dataclass(frozen=True)
class Level:
    """One map of the base's backbone.

    Attributes:
        channels: Its channels.
        stride: Its stride in pixels.
        depth: The stride that it would have if nothing were dilated: 32 for C5.
        size: Its cells, down and across, of the image that was sent through.
    """

    channels: int
    stride: int
    depth: int
    size: tuple[int, int]


def known(backbone: Mapping[str, Any]) -> tuple[Level, ...]:
    """The maps of one of this package's backbones, of a usual ResNet or of a Swin; of others nothing."""
    return _ours(backbone) or _usual(backbone)


def _ours(backbone: Mapping[str, Any]) -> tuple[Level, ...]:
    """Of a backbone of this package with the catalog's arguments, whose maps it knows; of others nothing."""
    scope, _, name = type_name(backbone).rpartition(".")
    if scope != "mmbackbones" or not is_the_catalogs(backbone.get("net_kwargs") or {}):
        return ()  # such arguments may dilate too, as those of torchvision's MobileNetV3 do
    given = {key: backbone.get(key) for key in ("out_strides", "out_indices")}
    spec = get_spec(backbone.get("name", name))
    if name == "ExpandedBackbone" and given["out_strides"] is None:
        given["out_strides"] = (16, 32)
    channels = channels_with(spec, {}, f"{scope}.{name}")
    most = backbone.get("output_stride") or max(channels)
    return tuple(
        _level(channels[stride], min(stride, most), stride) for stride in choose_strides(spec, **given)
    )


def _usual(backbone: Mapping[str, Any]) -> tuple[Level, ...]:
    """Of a ResNet of the usual widths or a Swin, of mmdet or mmseg; of others nothing."""
    scope, _, name = type_name(backbone).rpartition(".")
    if scope not in ("", "mmdet", "mmseg"):
        return ()
    if name in _RESNETS and backbone.keys() <= _RESNET_ARGS:
        width, stride = 256 if backbone["depth"] >= 50 else 64, 4
        steps = backbone.get("strides", (1, 2, 2, 2))
    elif name == "SwinTransformer" and tuple(backbone.get("strides", _SWIN)) == _SWIN:
        width, stride, steps = backbone.get("embed_dims", 96), 1, _SWIN
    else:
        return ()
    levels = []
    for stage, step in enumerate(steps):
        stride *= step
        levels.append(_level(width << stage, stride, 4 << stage))
    return tuple(levels[index] for index in backbone.get("out_indices", (0, 1, 2, 3)))


def _level(channels: int, stride: int, depth: int) -> Level:
    return Level(channels, stride, depth, (-(-IMAGE[0] // stride), -(-IMAGE[1] // stride)))


def type_name(module: Mapping[str, Any]) -> str:
    """The type of a config node, as the config says it, or the name of the class that it is."""
    kind = module.get("type")
    return kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
