"""Backbone and neck as one piece of a config, channels filled in from the catalog."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import InputError, nearest
from .backbones import backbone_config, channels_with, default_strides, inputs_of

# The maps that a neck's paper gives it; all others take PYRAMID.
_STRIDES = {
    "BiFPN": (8, 16, 32),
    "SSDLiteNeck": (16, 32),
    "SimpleFeaturePyramid": (16,),
    "YOLOV4TinyNeck": (16, 32),
}


class Replacing(dict):
    """A dict that takes the place of the base config's dict, where mmengine would merge the two.

    mmengine asks the newer dict ``pop("_delete_", False)`` when it merges. The answer here is yes
    without such a key, so the same dict also builds a module or stands in a config without a base.
    """

    def pop(self, key: str, *default: Any) -> Any:
        return True if key == "_delete_" else super().pop(key, *default)


def pair(
    name: str,
    neck: str | None = "FPN",
    *,
    strides: Sequence[int] | None = None,
    out_channels: int | None = None,
    num_outs: int | None = None,
    neck_cfg: Mapping[str, Any] | None = None,
    **backbone_args: Any,
) -> dict[str, Any]:
    """The ``model`` entries for a backbone with a neck that fits it; builds nothing.

    Over a base config they replace its backbone and neck, and set mean and std of its
    data_preprocessor::

        _base_ = ["mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"]
        from mmbackbones import pair

        model = pair("convnext_tiny", frozen_stages=1)

    (``_base_`` stands before the import, else mmengine takes the file for a lazy config.)

    Args:
        name: a catalog name, ``timm:<name>`` or ``torchvision:<name>``.
        neck: a neck of this package; one of another scope with its scope, as ``"mmdet.PAFPN"``; or
            None for the backbone alone.
        strides: of the maps that the neck takes, in pixels, fine to coarse. By default those of (4, 8,
            16, 32) that the backbone has, but (8, 16, 32) for ``BiFPN``, (16, 32) for ``SSDLiteNeck``
            and ``YOLOV4TinyNeck`` and (16,) for ``SimpleFeaturePyramid``, as in their papers.
        out_channels: channels of each map that leaves the neck; 256 by default. A neck of another scope
            gets only what is said here: all else stays as the base config has it, or stands in ``neck_cfg``,
            where ``_delete_=True`` parts it from a base with another neck.
        num_outs: how many maps leave the neck, by default 5, likewise. ``ToStrides`` has ``out_strides``
            instead, in ``neck_cfg``; ``SSDLiteNeck`` and ``YOLOV4TinyNeck`` have a number of their own.
        neck_cfg: further arguments of the neck.
        **backbone_args: further arguments of the backbone, e.g. ``frozen_stages=1``.

    Returns:
        A dict with ``backbone``, ``neck`` (not if it is None) and ``data_preprocessor``, which holds
        ``mean`` and ``std`` of the weights that ``init_cfg`` or ``pretrained`` names (without either, or
        with a file or an address, of the default weights) in 0..255, RGB, and ``bgr_to_rgb=True`` (not if
        ``in_channels`` of the backbone differs from theirs).

    Raises:
        InputError: unknown backbone or neck, a stride that the backbone lacks, or ``num_outs`` for a neck
            that has none.
    """
    from ..feature_nets.arguments import choose_strides
    from ..feature_nets.specs import get_spec

    spec = get_spec(name)
    for other in ("out_strides", "out_indices"):  # the backbone's own spellings
        if (said := backbone_args.pop(other, None)) is not None:
            if strides is not None:
                raise InputError(f"{other}={said!r} and strides={tuple(strides)} say the same: give one.")
            strides = choose_strides(spec, **{"out_strides": None, "out_indices": None, other: said})
    neck_type = None if neck is None else _neck_type(neck)
    if strides is None:
        strides = _STRIDES.get((neck_type or "").removeprefix("mmbackbones."), default_strides(spec))
    channels = channels_with(spec, backbone_args.get("net_kwargs") or {})
    lacking = [s for s in strides if s not in channels]
    if lacking or not strides:
        raise InputError(f"strides={tuple(strides)}: '{name}' has maps at strides {spec.strides} only.")
    strides = tuple(sorted(strides))
    pieces: dict[str, Any] = {}
    if inputs := inputs_of(spec, backbone_args):
        pieces["data_preprocessor"] = inputs
    pieces["backbone"] = Replacing(backbone_config(spec, strides, backbone_args))
    if neck_type is not None and not neck_type.startswith("mmbackbones."):  # merged with the base's
        said = {"out_channels": out_channels, "num_outs": num_outs}
        pieces["neck"] = {
            "type": neck_type,
            "in_channels": [channels[s] for s in strides],
            **{key: value for key, value in said.items() if value is not None},
            **(neck_cfg or {}),
        }
    elif neck_type is not None:
        dilated = backbone_args.get("output_stride") or strides[-1]
        known = dict(
            in_channels=[channels[s] for s in strides],
            in_strides=tuple(min(s, dilated) for s in strides),
            in_stride=min(strides[-1], dilated),
            out_channels=256 if out_channels is None else out_channels,
            num_outs=num_outs,
        )
        pieces["neck"] = Replacing(type=neck_type, **_taken(neck_type, known), **(neck_cfg or {}))
    return pieces


def _taken(neck_type: str, known: dict[str, Any]) -> dict[str, Any]:
    """What of ``known`` the neck takes; ``num_outs`` is 5 where the user did not say it."""
    own = neck_type.removeprefix("mmbackbones.")
    taken = own_necks()[own]
    if "num_outs" in taken and known["num_outs"] is None:
        known = {**known, "num_outs": 5}
    elif known["num_outs"] is not None and "num_outs" not in taken:
        raise InputError(
            f"num_outs={known['num_outs']}: {own} has no num_outs: leave it out. What leaves "
            f"it stands in neck_cfg, as dict(out_strides=(4, 8, 16, 32, 64)) for ToStrides."
        )
    return {name: value for name, value in known.items() if name in taken}


@cache
def own_necks() -> dict[str, tuple[str, ...]]:
    """Arguments of the constructor of each neck of this package.

    They are read off the source: to import the necks would import torch, which takes longer than the rest.
    """
    spec = find_spec("mmbackbones.necks")
    folder = Path(str(spec and spec.origin)).parent
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.py"))]
    return {
        node.name: tuple(argument.arg for argument in (*init.args.args[1:], *init.args.kwonlyargs))
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for init in node.body
        if isinstance(init, ast.FunctionDef) and init.name == "__init__"
    }


def _neck_type(neck: str) -> str:
    scope, _, own = neck.rpartition(".")
    if scope not in ("", "mmbackbones"):
        return neck  # another registry's; it checks the name when it builds the neck
    if own in own_necks():
        return f"mmbackbones.{own}"
    near = nearest(own, own_necks()) or sorted(own_necks())
    raise InputError(
        f"Unknown neck '{neck}'. Nearest: {', '.join(near)}. A neck of another registry needs its scope, "
        f"as 'mmdet.{own}'; neck=None gives the backbone alone."
    )
