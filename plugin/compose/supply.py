"""How a new backbone supplies what the base's own one gave: which maps, what in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from typing import Any

from ..catalog.spec import PYRAMID, Spec
from ..errors import InputError
from .backbones import backbone_config
from .levels import Level

#: How many times a map may be enlarged or reduced between a backbone and its consumer.
_FARTHEST = 4


@dataclass
class Supply:
    """A backbone, the necks that come first, and what leaves them.

    Attributes:
        backbone: The config of the backbone.
        necks: Configs of what brings its maps to the expected strides; mostly none.
        channels: Channels of the maps that leave them, one for each expected map.
        strides: Their strides.
        notes: What was decided, one sentence each.
    """

    backbone: dict[str, Any]
    necks: list[dict[str, Any]]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    notes: list[str] = field(default_factory=list)


def supply(
    spec: Spec,
    channels: Mapping[int, int],
    levels: Sequence[Level],
    backbone_args: Mapping[str, Any],
    width: int | None = None,
    *,
    backbone_type: str | None = None,
    level_norm: bool = True,
    any_stride: bool = False,
) -> Supply:
    """Ask a backbone for the maps that are expected.

    Args:
        spec: Its row.
        channels: Its channels by stride, as ``backbone_args`` leave them.
        levels: What is expected.
        backbone_args: Further arguments; ``output_stride`` among them holds instead of the base's.
        width: Channels that all maps must have, where what follows cannot be told theirs.
        backbone_type: Of the backbone, where it is not the net's own.
        level_norm: Whether a Swin's maps are normed each.
        any_stride: Whether what reads the maps takes them finer, where ``output_stride`` makes them so.

    Raises:
        InputError: the backbone is too far from an expected stride.
    """
    notes = []
    args = dict(backbone_args)
    dilated = min((level.stride for level in levels if level.stride < level.depth), default=None)
    if dilated and spec.dilatable and dilated in (8, 16, 32):
        args.setdefault("output_stride", dilated)
    output_stride = args.get("output_stride") or max((*channels, *(level.depth for level in levels)))
    if "output_stride" in args:
        notes.append(f"output_stride={output_stride}: later strides are dilated.")
        finer = bool(dilated) or any_stride
        asked = [min(level.depth, output_stride) if finer else level.stride for level in levels]
    else:
        asked = [level.stride for level in levels]
    taken = _taken(spec, channels, levels)
    own = sorted(set(taken))
    arriving = [min(stride, output_stride) for stride in own]
    backbone = backbone_config(spec, own, args, backbone_type)
    necks: list[dict[str, Any]] = []
    if spec.family == "swin" and level_norm:
        necks.append({"type": "mmbackbones.LevelNorm", "in_channels": [channels[s] for s in own]})
        notes.append("LevelNorm: Swin's maps are normed each, as its authors have it.")
    leaving = [channels[stride] for stride in taken]
    kept = [min(stride, output_stride) for stride in taken] == asked and taken == own
    if not kept or (width is not None and set(leaving) != {width}):
        neck: dict[str, Any] = {
            "type": "mmbackbones.ToStrides",
            "in_channels": [channels[stride] for stride in own],
            "in_strides": arriving,
            "out_strides": asked,
            "sources": [own.index(stride) for stride in taken],
        }
        if width is not None:
            neck["out_channels"] = width
            leaving = [width] * len(taken)
        necks.append(neck)
        to = f" with {width} channels" if width else ""
        notes.append(f"ToStrides: maps of strides {arriving} become maps of strides {asked}{to}.")
    return Supply(backbone, necks, tuple(leaving), tuple(asked), notes)


def _taken(spec: Spec, channels: Mapping[int, int], levels: Sequence[Level]) -> list[int]:
    """The backbone's own stride for each expected map: the nearest one.

    A plain ViT gives maps of one stride from several depths: for these come the last maps, in order.
    """
    depths = [level.depth for level in levels]
    own = [stride for stride in PYRAMID if stride in channels]
    if len(set(depths)) == 1 and 1 < len(depths) <= len(own):
        return own[-len(depths) :]
    taken = [min(channels, key=lambda own: (abs(log2(own / depth)), own)) for depth in depths]
    for depth, stride in zip(depths, taken, strict=True):
        if not 1 / _FARTHEST <= depth / stride <= _FARTHEST:
            raise InputError(
                f"'{spec.name}' has maps at strides {spec.strides} only, the model needs one at stride "
                f"{depth}, and no neck makes it of those. Backbones that have it: "
                f"`mmbackbones list --strides {','.join(map(str, sorted(set(depths) & set(PYRAMID))))}`."
            )
    return taken
