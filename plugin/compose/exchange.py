"""Exchange the backbone inside a model's config: where it stands, what it gave, who reads that, what goes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..catalog.spec import STAGES, Spec
from ..errors import InputError
from .backbones import channels_with, inputs_of, starts_from
from .configs import kind, walk
from .consumers import Widths, check_consumer, fit_heads, fit_neck, fit_rates, fixed_width, one_width
from .expects import Shape, default_of, expected, made_of
from .holders import HOLDERS, fit_holder
from .levels import Level
from .optimizers import has_batch_norm
from .supply import Supply, supply
from .unswappable import check_swappable

Node = dict[str, Any]

#: What swap decides itself, where a user may look for it among the backbone's arguments.
_READ_OFF = {
    "out_strides": "the maps that neck and heads expect",
    "out_indices": "the maps that neck and heads expect",
    "init_cfg": "weights= or pretrained=",
}


_PREPROCESSORS = {"mmdet": "DetDataPreprocessor", "mmseg": "SegDataPreProcessor"}


@dataclass
class Swapped:
    """A model with its new backbone.

    Attributes:
        model: the model.
        notes: what was decided, one sentence each.
        weights: which ones the backbone starts from; None for random ones.
        frozen: whether it keeps all of them.
        replaced: the old backbone.
    """

    model: Node
    notes: list[str]
    weights: str | None
    frozen: bool
    replaced: Node


def exchange(
    model: Node,
    scope: str,
    spec: Spec,
    /,
    *,
    at: str | None = None,
    pretrained: bool = True,
    weights: str | None = None,
    backbone_type: str | None = None,
    level_norm: bool = True,
    **backbone_args: Any,
) -> Swapped:
    """Put the backbone of ``spec`` into ``model``, in place; arguments as those of :func:`.swap.swap`.

    ``backbone_type`` is the backbone's where it is not the net's own, as ``"mmbackbones.ExpandedBackbone"``.
    ``level_norm`` says whether a Swin's maps are normed each. A backbone's argument that is None is left out,
    whatever the base has.
    """
    for argument in _READ_OFF.keys() & backbone_args.keys():
        raise InputError(f"swap() takes no {argument}: {_READ_OFF[argument]} decide that.")
    weights = starts_from(spec, pretrained, weights)
    check_swappable(model)
    way, part = _place(model, at)
    held = kind(part["backbone"]) in HOLDERS
    old = part["backbone"]["backbone_cfg"] if held else part["backbone"]
    notes = [f"{spec.name} in place of {_name(old)}{f' at {way}' if way else ''}."]
    notes.append(f"It starts from {weights}." if weights else "It starts from random weights.")
    args = {**_kept(old, scope, spec, weights, notes), **backbone_args}
    if spec.family == "swin" and args.get("net_kwargs", {}) is not None:  # windows that any size fills
        args["net_kwargs"] = {"always_partition": True, **args.get("net_kwargs", {})}
    if weights:
        args["init_cfg"] = {"type": "Pretrained", "checkpoint": weights}
    args = {key: value for key, value in args.items() if value is not None}
    levels = expected(old, scope)
    how = {"backbone_type": backbone_type, "level_norm": level_norm}
    if held:
        fit_holder(part, spec, levels, args, scope, notes)
    else:
        _fit(part, spec, levels, args, scope, notes, how)
    notes += _drop(model, part, old, args)
    notes += _set_inputs(model, part, spec, args, scope)
    return Swapped(model, notes, weights, args.get("frozen_stages") == STAGES, old)


def _place(model: Node, at: str | None) -> tuple[str, Node]:
    """The part of the model that holds the backbone, with its dotted name."""
    places = dict(_places(model, ""))
    if at is not None:
        if at not in places:
            raise InputError(f"at='{at}': no backbone stands there. Backbones: {_shown(places)}.")
        return at, places[at]
    if not places:
        raise InputError(
            f"The model {kind(model)} has no `backbone = dict(type=...)`: nothing to exchange. "
            f"Take a config whose model has one."
        )
    for usual in ("", "detector"):
        if usual in places:
            return usual, places[usual]
    if len(places) > 1:
        raise InputError(f"The model has several backbones: {_shown(places)}. Say at= (--at) which one.")
    return next(iter(places.items()))


def _places(node: Any, way: str) -> Iterator[tuple[str, Node]]:
    if isinstance(node, dict):
        backbone = node.get("backbone")
        if isinstance(backbone, dict) and "type" in backbone:
            yield way, node
        for key, value in node.items():
            yield from _places(value, f"{way}.{key}" if way else key)


def _shown(places: Mapping[str, Node]) -> str:
    names = {way: _name(part["backbone"]) for way, part in places.items()}
    shown = [
        f"'{way}' ({name})" if way else f"the model's own ({name}), without at="
        for way, name in names.items()
    ]
    return ", ".join(shown) or "none"


def _name(backbone: Node) -> str:
    """What a user calls it: its class, or the net that one of our general classes has for an argument."""
    ours = str(backbone["type"]).startswith("mmbackbones.")
    return str(backbone["name"]) if ours and "name" in backbone else kind(backbone)


def _kept(old: Node, scope: str, spec: Spec, weights: str | None, notes: list[str]) -> Node:
    """Of the old backbone's arguments those that are about images and batches, not about its layers."""
    kept: Node = {}
    if old.get("in_channels", 3) != 3:
        kept["in_channels"] = old["in_channels"]
    if not has_batch_norm(spec):
        return kept
    norm = old.get("norm_cfg") or {}
    if kind(norm) in ("SyncBN", "MMSyncBN"):
        kept["norm_cfg"] = {"type": "SyncBN"}
        notes.append("SyncBN, as the base has it.")
    if weights and norm.get("requires_grad") is False:
        kept["norm_cfg"] = {"type": "BN", **kept.get("norm_cfg", {}), "requires_grad": False}
        notes.append("Its batch norms keep scale and shift, as the base's do.")
    said = old["norm_eval"] if "norm_eval" in old else default_of(old, scope, "norm_eval")
    if weights and said is True:  # mmdet's by default
        kept["norm_eval"] = True
        notes.append("Its batch norms keep their statistics (norm_eval), as the base's do.")
    return kept


def _fit(
    part: Node, spec: Spec, levels: Sequence[Level], args: Node, scope: str, notes: list[str], how: Node
) -> None:
    """Put backbone and necks into ``part``, and the new channels into what reads them."""
    neck = part.get("neck")
    necks: list[Node] = [*neck] if isinstance(neck, (list, tuple)) else [neck] if neck else []
    channels = channels_with(spec, args.get("net_kwargs") or {}, how["backbone_type"])
    old: tuple[Shape, ...] = tuple((1, level.channels, *level.size) for level in levels)
    if necks and (pyramid := _pyramid_of_one(necks[0], levels, channels, scope)):
        notes.append(f"{kind(necks[0])} goes: {spec.name} has its maps itself.")
        old = tuple((1, level.channels, *level.size) for level in pyramid)
        levels, necks = pyramid, necks[1:]
    new_channels = {level.channels for level in levels}
    width, why = (one_width(necks[0]) if necks else None), ""
    if not necks and (fixed := fixed_width(part)):
        width, why = fixed
    resized = scope == "mmseg" and not necks  # such heads bring their maps to one size
    supplied: Supply = supply(spec, channels, levels, args, width, any_stride=resized, **how)
    if why and new_channels != set(_before(supplied)):
        notes.append(f"{why} reads {width} channels, whatever the backbone: a 1x1 convolution gives them.")
    notes += supplied.notes
    part["backbone"] = supplied.backbone
    new: tuple[Shape, ...] = tuple(
        (1, width, *shape[2:]) for width, shape in zip(supplied.channels, old, strict=True)
    )
    given, same = _widths(old), old == new
    for number, one in enumerate(necks):
        if old == new:
            break
        necks[number] = fit_neck(one, Widths(_widths(old), _widths(new)))
        if necks[number] != one:
            notes.append(f"neck {kind(one)}: {_changes(one, necks[number])}.")
        old, new = (
            _vectors(made_of(one, scope, old), old),
            _vectors(_made(necks[number], one, scope, new), new),
        )
        if [shape[2:] for shape in old] != [shape[2:] for shape in new]:
            raise InputError(
                f"{kind(one)} makes maps {new} of the new backbone's, of the base's {old}. Take a neck whose "
                f"maps have the sizes of those that it reads."
            )
    if not same:
        check_consumer(part, necks, given, _widths(old))
    necks = [*supplied.necks, *necks]
    if necks:
        part["neck"] = necks[0] if len(necks) == 1 else necks
    elif "neck" in part:  # some detectors need the argument, though it be None
        part["neck"] = None
    if old != new:
        done = fit_heads(part, Widths(_widths(old), _widths(new)), scope)
        notes.append(f"Channels of the new maps: {', '.join(done)}.")
    notes += fit_rates(part, levels[-1].stride, supplied.strides[-1])


def _made(neck: Node, before: Node, scope: str, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """What the fitted neck, not so ``before``, makes of the new maps.

    Raises:
        InputError: it does not take them; the message names the groups of its norms with which it would.
    """
    try:
        return made_of(neck, scope, shapes)
    except InputError as error:
        step = f"Take a backbone of other widths, or write another {kind(neck)} into the config"
        if neck == before:
            step = (
                f"No in_channels of {kind(neck)} has the old maps' channels, so nothing was changed in it: "
                f"give it that argument, or put a neck with one before it"
            )
        for groups in (16, 8, 4, 2, 1):
            fitted = copy.deepcopy(neck)
            norms = [node for _, node in walk(fitted) if node.get("num_groups", 0) > groups]
            for norm in norms:
                norm["num_groups"] = groups
            if norms and _takes(fitted, scope, shapes):
                step = f"Write num_groups={groups} into the norm_cfg of {kind(neck)}"
                break
        raise InputError(f"{str(error).rstrip('.')}. {step}.") from error


def _takes(neck: Node, scope: str, shapes: Sequence[Shape]) -> bool:
    try:
        made_of(neck, scope, shapes)
    except InputError:
        return False
    return True


def _vectors(made: tuple[Shape, ...], given: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """What a pool makes of maps of any image: where its kernel is for images of one size (ReID), it leaves
    several cells of other ones in a vector; of these one counts."""
    if len(made) != len(given) or any(len(shape) != 2 for shape in made):
        return made
    pairs = zip(made, given, strict=True)
    return tuple((1, source[1] if out[1] % source[1] == 0 else out[1]) for out, source in pairs)


def _before(supplied: Supply) -> Sequence[int]:
    for neck in supplied.necks:
        return list(neck["in_channels"])
    return supplied.channels


def _pyramid_of_one(
    neck: Node, levels: Sequence[Level], channels: Mapping[int, int], scope: str
) -> list[Level] | None:
    """The maps of a neck that makes a pyramid of maps of one stride, where the new net has all of them."""
    first = levels[0]
    if len(levels) < 2 or {level.size for level in levels} != {first.size} or first.stride != first.depth:
        return None
    made = made_of(neck, scope, [(1, level.channels, *level.size) for level in levels])
    strides = [round(first.stride * first.size[0] / shape[2]) for shape in made]
    if len(set(strides)) < len(strides) or not set(strides) <= channels.keys():
        return None
    return [
        Level(shape[1], stride, stride, (shape[2], shape[3]))
        for shape, stride in zip(made, strides, strict=True)
    ]


def _widths(shapes: Sequence[Shape]) -> tuple[int, ...]:
    return tuple(shape[1] for shape in shapes)


def _changes(old: Node, new: Node) -> str:
    return ", ".join(f"{key} {old[key]} became {new[key]}" for key in new if old.get(key) != new[key])


def _drop(model: Node, part: Node, old: Node, args: Node) -> list[str]:
    """Take out what loads weights of the whole old model; say what of the old backbone is gone."""
    notes = []
    part.pop("pretrained", None)  # mmseg's own way to load weights into its own nets
    for owner in [model] if part is model else [model, part]:
        if (loads := owner.pop("init_cfg", None)) is not None:
            notes.append(f"{kind(owner)}: init_cfg={loads} is dropped: it holds the old backbone.")
    gone = [
        key
        for key in ("frozen_stages", "dcn", "plugins", "norm_cfg", "conv_cfg", "multi_grid", "before")
        if old.get(key) is not None
    ]
    gone = [key for key in gone if key not in args and old[key] != -1]
    new = part["backbone"].get("backbone_cfg", part["backbone"])
    if "output_stride" not in new and any(rate != 1 for rate in old.get("dilations") or ()):
        gone.append("dilations")  # beside strides and not in place of them, as in FastFCN's
    if gone:
        notes.append(f"Gone with {_name(old)}: {', '.join(f'{key}={old[key]}' for key in gone)}.")
    return notes


def _set_inputs(model: Node, part: Node, spec: Spec, args: Node, scope: str) -> list[str]:
    """Mean and std of the weights in every data_preprocessor of the part, or else of the model."""
    inputs = inputs_of(spec, args)
    if inputs is None:
        return [f"Images have {args['in_channels']} channels: mean and std stay."]
    owners = [owner for owner in (part, model) if isinstance(owner.get("data_preprocessor"), dict)]
    for owner in owners or [model]:
        node = owner.setdefault("data_preprocessor", {"type": _PREPROCESSORS[scope]})
        for _, inner in walk(node):
            if (
                "data_preprocessor" not in inner
                and (inner is node or "type" in inner)
                and (inner is node or "mean" in inner or kind(inner).endswith("Preprocessor"))
            ):
                inner.pop("rgb_to_bgr", None)
                inner.update(copy.deepcopy(inputs))
                if "type" in inner and default_of(inner, scope, "to_rgb", "none") != "none":  # ReID's
                    inner["to_rgb"] = inner.pop("bgr_to_rgb")
    usual = f"as {spec.name}'s usual weights take them" if spec.weights else "as usual for ImageNet"
    loads = args.get("init_cfg") or args.get("pretrained")
    whose = "as the weights were trained" if loads else f"{usual}; random weights take others as well"
    return [f"Images: mean {inputs['mean']}, std {inputs['std']}, RGB, {whose}."]
