"""A backbone of this package as a piece of a config: its dict, its channels, mean and std of its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import getfullargspec, signature
from typing import Any

from ..catalog.inputs import asked_weights, mean_std_of, resolve
from ..catalog.spec import PYRAMID, Spec
from ..errors import InputError

#: Arguments of constructors that leave the widths of the maps as they are.
_SHAPELESS = {"drop_path_rate", "drop_rate", "attn_drop_rate", "always_partition", "img_size"}
#: SSDLite's backbone (arXiv 1801.04381, section 6.2), by the families whose blocks are inverted residuals of
#: expansion 6 (table 2).
EXPANDING = "mmbackbones.ExpandedBackbone"
EXPANDED = ("mobilenetv2", "mobilenetv3", "mnasnet", "efficientnet", "efficientnet_lite", "efficientnetv2")
_EXPANSION = 6


def is_the_catalogs(net_kwargs: Mapping[str, Any]) -> bool:
    """Whether a net with these arguments of its constructor has the maps that the catalog knows."""
    return net_kwargs.keys() <= _SHAPELESS


def channels_with(
    spec: Spec, net_kwargs: Mapping[str, Any], backbone_type: str | None = None
) -> dict[int, int]:
    """Channels by stride; where arguments of the constructor may change them the net is traced to see.

    Raises:
        InputError: the net has no maps for a backbone of ``backbone_type``.
    """
    if is_the_catalogs(net_kwargs):
        channels = spec.channels
    else:
        from ..feature_nets.specs import measured

        channels = measured(spec.source, spec.upstream, {**spec.arguments, **net_kwargs}).channels
    return {**channels, 16: expanded_width(spec, net_kwargs)} if backbone_type == EXPANDING else channels


def expanded_width(spec: Spec, net_kwargs: Mapping[str, Any]) -> int:
    """Channels of the expanded map; outside the families of :data:`EXPANDED` the net is built to see them.

    Raises:
        InputError: the net has no such map.
    """
    if spec.family in EXPANDED and ":" not in spec.name and not net_kwargs:
        return _EXPANSION * spec.channels[16]
    from ..feature_nets.specs import without_values
    from ..inner_taps.expanded import ExpandedBackbone

    return without_values(lambda: ExpandedBackbone(spec.name, net_kwargs=dict(net_kwargs))).out_channels[0]


def starts_from(spec: Spec, pretrained: bool, weights: str | None) -> str | None:
    """The checkpoint: ``weights`` (a tag, an address or a file), else the default one, if there is any.

    Raises:
        InputError: unknown weights, or weights and ``pretrained=False``.
    """
    if weights is not None and not pretrained:
        raise InputError(f"weights={weights} and pretrained=False contradict each other: give one.")
    return resolve(spec, weights or True) if pretrained and (weights or spec.weights) else None


def backbone_config(
    spec: Spec, strides: Sequence[int], args: Mapping[str, Any], backbone_type: str | None = None
) -> dict[str, Any]:
    """The config of a backbone that gives the maps of ``strides``; ``backbone_type`` where not its own.

    Raises:
        InputError: ``args`` has a name or a value that the backbone does not take.
    """
    _check(spec, args, backbone_type)
    general = backbone_type or ("mmbackbones.Backbone" if ":" in spec.name else None)
    return {
        **({"type": general, "name": spec.name} if general else {"type": f"mmbackbones.{spec.name}"}),
        **({} if tuple(strides) == default_strides(spec) else {"out_strides": tuple(strides)}),
        **args,
    }


def _check(spec: Spec, args: Mapping[str, Any], backbone_type: str | None) -> None:
    from ..feature_nets.arguments import check_arguments, unknown_arguments

    checked = {"norm_eval", "pretrained", "init_cfg", *getfullargspec(check_arguments).kwonlyargs}
    if backbone_type is None and args.keys() - checked:
        from ..backbone import Backbone  # needs torch, which `info` and `config` can do without

        known = signature(Backbone).parameters
        if unknown := {key: args[key] for key in args if key not in known}:
            raise unknown_arguments(unknown, Backbone)
    check_arguments(spec, **args)


def default_strides(spec: Spec) -> tuple[int, ...]:
    """The maps that a backbone gives unasked."""
    return tuple(stride for stride in PYRAMID if stride in spec.channels)


def inputs_of(spec: Spec, args: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a data_preprocessor says of the weights that ``args`` name; None for images of other channels."""
    mean, std = mean_std_of(spec, asked_weights(spec, args))
    if args.get("in_channels", 3) != len(mean):
        return None
    return {
        "mean": [round(255 * value, 3) for value in mean],
        "std": [round(255 * value, 3) for value in std],
        "bgr_to_rgb": True,
    }
