"""Networks of mmseg that hold a backbone and read its maps themselves: the new one goes inside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..catalog.spec import Spec
from ..errors import InputError
from .backbones import channels_with
from .configs import kind
from .consumers import Widths, fit_heads
from .levels import Level
from .supply import Supply, supply

Node = dict[str, Any]


class Holder(NamedTuple):
    """How such a network takes another backbone.

    Attributes:
        reads: How many maps it reads, the coarsest ones.
        around: It around the new backbone, of its old config and the channels of the new maps.
        leaves: Channels of the maps that it gives to the heads, of its config and the channels of its
            backbone's maps; None if they are always the same.
    """

    reads: int
    around: Callable[[Node, Sequence[int]], Node]
    leaves: Callable[[Node, Sequence[int]], tuple[int, ...]] | None = None


def _bisenet(old: Node, _: Sequence[int]) -> Node:
    """Ours, whose parameters have the same names: mmseg's takes one width at stride 16 only."""
    context = old.get("context_channels", 128)
    kept = ("in_channels", "spatial_channels", "out_channels", "norm_cfg", "act_cfg")
    return {
        "type": "mmbackbones.BiSeNet",
        **{key: old[key] for key in kept if key in old},
        "context_channels": context if isinstance(context, int) else context[0],
    }


def _stdc(old: Node, channels: Sequence[int]) -> Node:
    """Its context path reads the two coarsest maps, its fusion the finest one beside what that path gives."""
    c3, c4, c5 = channels
    fusion = {"out_channels": 256, "scale_factor": 4, **old.get("ffm_cfg", {})}
    fusion["in_channels"] = c3 + old.get("out_channels", 128)
    kept = {key: value for key, value in old.items() if key not in ("init_cfg", "pretrained")}
    return {**kept, "last_in_channels": (c5, c4), "ffm_cfg": fusion}


def _stdc_leaves(config: Node, channels: Sequence[int]) -> tuple[int, ...]:
    middle = config.get("out_channels", 128)
    return channels[0], middle, middle, config["ffm_cfg"]["out_channels"]


HOLDERS: Mapping[str, Holder] = {
    "BiSeNetV1": Holder(2, _bisenet),
    "BiSeNet": Holder(2, _bisenet),
    "STDCContextPathNet": Holder(3, _stdc, _stdc_leaves),
}


def fit_holder(
    part: Node, spec: Spec, levels: Sequence[Level], args: Node, scope: str, notes: list[str]
) -> None:
    """Put the new backbone into the network at ``part['backbone']`` that holds one, and fit both.

    Raises:
        InputError: the backbone lacks a map: there is no place for a neck inside.
    """
    old = part["backbone"]
    holder = HOLDERS[kind(old)]
    read = levels[-holder.reads :]
    supplied: Supply = supply(spec, channels_with(spec, args.get("net_kwargs") or {}), read, args)
    if any(neck["type"] == "mmbackbones.ToStrides" for neck in supplied.necks):
        strides = ", ".join(str(level.stride) for level in read)
        raise InputError(
            f"{kind(old)} reads maps of strides {strides}, with no place for a neck before; "
            f"'{spec.name}' has {spec.strides}. Backbones that have them: `mmbackbones list --strides "
            f"{strides.replace(' ', '')}`."
        )
    new = holder.around(old, supplied.channels)
    if new["type"] != old["type"]:
        notes.append(f"{new['type']} in place of {kind(old)}, which takes one width at stride 16 only.")
    part["backbone"] = {**new, "backbone_cfg": supplied.backbone}
    if holder.leaves:
        before = holder.leaves(old, [level.channels for level in read])
        after = holder.leaves(new, supplied.channels)
        if before != after:
            done = fit_heads(part, Widths(before, after), scope)
            notes.append(f"Channels of the new maps: {', '.join(done)}.")
