"""The list of steps from a name to the network that a backbone holds, in the order in which they are done.

:func:`open_traced` opens the network, changes it so that it takes any size and gives maps at powers of two,
and traces it: what a catalog row is measured on. :func:`make_feature_net` goes on with what the backbone's
arguments ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import kept
from ..catalog.own import own_net
from ..catalog.spec import Spec
from ..errors import InputError
from ..native.attention import embed_attention
from ..sources import FeatureNet, open_net
from ..sources.hooked import HookedNet
from ..surgery.checkpointing import add_checkpoints
from ..surgery.dilatable import check_still_dilatable
from ..surgery.dilation import dilate
from ..surgery.freezing import names_to_freeze
from ..surgery.norms import convert_norms
from ..surgery.padding import repair_padding
from ..surgery.pools import pools_as_modules
from ..surgery.pruning import prune
from ..surgery.windows import pad_before_shift
from ..taps.geometry import is_data
from ..taps.pyramid import PyramidNet, is_plain
from ..taps.sizes import Blueprint, any_size
from ..tracing.stages import stage_of_params
from ..tracing.trace import Trace, meta_copy, trace, trace_for_strides
from .own import open_own

#: Records by all that they depend on, and whether the padding had to be repaired for them. To open the same
#: network again costs no second trace, which is most of what opening takes.
RECORDS: dict[tuple[object, ...], tuple[Trace, bool]] = {}


@dataclass(frozen=True)
class Changes:
    """What a backbone's arguments change in its network; see :class:`mmbackbones.backbone.Backbone`."""

    in_channels: int = 3
    net_kwargs: dict[str, Any] | None = None
    attention: str | None = None
    repair_padding: bool = True
    output_stride: int | None = None
    frozen_stages: int = -1
    frozen_fraction: float | None = None
    norm_cfg: dict[str, Any] | None = None
    with_cp: bool = False


@dataclass(frozen=True)
class Made:
    """A network that gives the asked maps, and what is known of it.

    Attributes:
        feature_net: The network.
        asked: The record of a run for the asked maps only.
        multiple: Images are padded up to multiples of it, in pixels.
        stages: Stage (0 the stem, 1 to 4) of each parameter of the whole network.
        frozen: Names of the parameters that the arguments freeze, of the whole network too.
        shapes: Of parameters and buffers of the whole network, in the order of definition.
        order: Paths of its layers in the order of execution.
        arguments: What the upstream's constructor was given.
    """

    feature_net: FeatureNet
    asked: Trace
    multiple: int
    stages: dict[str, int]
    frozen: set[str]
    shapes: dict[str, tuple[int, ...]]
    order: tuple[str, ...]
    arguments: dict[str, Any]


def make_feature_net(spec: Spec, name: str, strides: tuple[int, ...], how: Changes) -> Made:
    """Open the network of ``spec``, change it as ``how`` says, and cut it behind the maps of ``strides``.

    What no asked map depends on, and is not cut, does not train.

    Raises:
        InputError: the network cannot be opened, traced or changed so; the message says why.
    """
    arguments = {**spec.arguments, **(how.net_kwargs or {})}
    feature_net, traced, every = open_traced(
        spec.source,
        spec.upstream,
        how.in_channels,
        arguments,
        name=name,
        repair=how.repair_padding,
        attention=how.attention,
    )
    net = feature_net.net
    shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    asked = trace_for_strides(traced, how.in_channels, every, strides)
    needed = asked.needed
    stages = stage_of_params(net, every)
    frozen = names_to_freeze(net, every, stages, how.frozen_stages, how.frozen_fraction)
    if how.output_stride is not None:
        if how.net_kwargs:
            check_still_dilatable(traced, every, how.in_channels, how.net_kwargs)
        dilate(net, every, how.output_stride, original=not how.repair_padding)
    prune(feature_net, asked, how.in_channels)
    if how.norm_cfg is not None:
        convert_norms(net, how.norm_cfg, spec.name)
    for key, param in net.named_parameters():
        if key not in needed:
            param.requires_grad_(False)
    if how.with_cp:
        add_checkpoints(net, asked)
    hooked = getattr(feature_net, "inner", feature_net)
    if isinstance(hooked, HookedNet):  # its first pass may be a program's that is traced
        hooked.hang([asked.taps[stride] for stride in strides])
    multiple = every.multiple if how.repair_padding else 1
    return Made(feature_net, asked, multiple, stages, frozen, shapes, every.order, arguments)


def opened(
    source: str, upstream: str, in_channels: int, arguments: dict[str, Any], repair: bool = True
) -> FeatureNet:
    """The network as its source or its user has it; arguments as :func:`open_traced` has them.

    Raises:
        InputError: there is no such network, or a user's own has no maps.
    """
    if source == "own":
        return open_own(upstream, in_channels, arguments)
    given = {"repair_padding": repair, **arguments} if source == "native" else arguments
    return open_net(source, upstream, in_channels, given)


def open_traced(
    source: str,
    upstream: str,
    in_channels: int,
    arguments: dict[str, Any],
    *,
    name: str,
    repair: bool = True,
    attention: str | None = None,
) -> tuple[FeatureNet, FeatureNet, Trace]:
    """Open a network and trace all its maps.

    Args:
        source: ``timm``, ``torchvision``, ``native`` or ``own``.
        upstream: The network's name there.
        in_channels: Channels of the image.
        arguments: For the upstream's constructor.
        name: How messages call the network.
        repair: Whether unpadded layers get padding. If not, the network stays as its authors wrote
            it and its maps have other sizes; what the trace says of stages and strides still holds.
        attention: What to put into each residual block: see ``mmbackbones.native.attention``.

    Returns:
        The network, the network to trace (a padded copy of it where ``repair`` is false), its trace.

    Raises:
        InputError: the source has no such network, or its maps have no power-of-two strides.
    """
    feature_net = opened(source, upstream, in_channels, arguments, repair)
    if attention is not None:
        embed_attention(feature_net.net, attention)
    pools_as_modules(feature_net.net)
    pad_before_shift(feature_net.net)
    if source in ("timm", "torchvision"):
        feature_net = any_size(feature_net, Blueprint(source, upstream, arguments))
    if is_plain(feature_net):
        feature_net = PyramidNet(feature_net)
    origin = own_net(upstream) if source == "own" else upstream  # a name of one's own may be given again
    known = repr(sorted(arguments.items())) if is_data(arguments) else None
    key = (source, origin, in_channels, repair, attention, known)
    if key in RECORDS:
        found, padded = RECORDS[key]
    else:
        size = fixed_size(arguments)
        lasting = "" if known is None or source == "own" else repr(key)
        found, padded = _traced(feature_net, in_channels, name, size, lasting)
    if known is not None:
        RECORDS[key] = found, padded
    if not padded:
        return feature_net, feature_net, found
    traced = feature_net if repair else meta_copy(feature_net)
    repair_padding(traced.net)
    return feature_net, traced, found


def _traced(
    feature_net: FeatureNet, in_channels: int, name: str, size: tuple[int, int] | None, origin: str
) -> tuple[Trace, bool]:
    """The record of ``feature_net``, and whether its padding had to be repaired for it."""
    asked = ("refused unpadded", origin)
    padded = None if not origin or kept.known(*asked) is None else _padded(feature_net)
    if padded is None:
        try:
            return trace(feature_net, in_channels, name=name, size=size, origin=origin), False
        except InputError:
            if (padded := _padded(feature_net)) is None:
                raise
        if origin:
            kept.keep(*asked, True)
    return trace(padded, in_channels, name=name, size=size, origin=origin and f"padded {origin}"), True


def _padded(feature_net: FeatureNet) -> FeatureNet | None:
    """A copy on the meta device with its padding repaired; None where there is nothing to repair."""
    padded = meta_copy(feature_net)
    return padded if repair_padding(padded.net) else None


def fixed_size(arguments: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width that ``img_size`` among the constructor's arguments fixes, if any."""
    size = arguments.get("img_size")
    return (size, size) if isinstance(size, int) else tuple(size) if size else None
