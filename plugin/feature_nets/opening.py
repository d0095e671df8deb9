"""From a name to a network that is ready to be traced: pools as modules, pyramid, repaired padding."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..native.attention import embed_attention
from ..sources import FeatureNet, open_net
from ..surgery.padding import repair_padding
from ..surgery.pools import pools_as_modules
from ..surgery.windows import pad_before_shift
from ..taps.pyramid import PyramidNet, is_plain
from ..taps.sizes import Blueprint, any_size
from ..tracing.trace import Trace, meta_twin, trace

#: Records by all that they depend on, and whether the padding had to be repaired for them. To open the same
#: network again costs no second trace, which is most of what opening takes.
_RECORDS: dict[tuple[object, ...], tuple[Trace, bool]] = {}


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
        source: ``timm``, ``torchvision`` or ``native``.
        upstream: The network's name there.
        in_channels: Channels of the image.
        arguments: For the upstream's constructor.
        name: How messages call the network.
        repair: Whether unpadded layers get padding. If not, the network stays as its authors wrote
            it and its maps have other sizes; what the trace says of stages and strides still holds.
        attention: What to put into each residual block: see ``mmbackbones.native.attention``.

    Returns:
        The network, the network to trace (a padded twin of it where ``repair`` is false), its trace.

    Raises:
        InputError: the source has no such network, or its maps have no power-of-two strides.
    """
    feature_net = open_net(
        source,
        upstream,
        in_channels,
        {"repair_padding": repair, **arguments} if source == "native" else arguments,
    )
    if attention is not None:
        embed_attention(feature_net.net, attention)
    pools_as_modules(feature_net.net)
    pad_before_shift(feature_net.net)
    if source != "native":
        feature_net = any_size(feature_net, Blueprint(source, upstream, arguments))
    if is_plain(feature_net):
        feature_net = PyramidNet(feature_net)
    key = (source, upstream, in_channels, repair, attention, repr(sorted(arguments.items())))
    found, padded = _RECORDS.get(key) or _traced(feature_net, in_channels, name, fixed_size(arguments))
    if _plain(arguments):
        _RECORDS[key] = found, padded
    if not padded:
        return feature_net, feature_net, found
    traced = feature_net if repair else meta_twin(feature_net)
    repair_padding(traced.net)
    return feature_net, traced, found


def _traced(
    feature_net: FeatureNet, in_channels: int, name: str, size: tuple[int, int] | None
) -> tuple[Trace, bool]:
    """The record of ``feature_net``, and whether its padding had to be repaired for it."""
    try:
        return trace(feature_net, in_channels, name=name, size=size), False
    except InputError:
        padded = meta_twin(feature_net)
        if not repair_padding(padded.net):
            raise
    return trace(padded, in_channels, name=name, size=size), True


def _plain(value: Any) -> bool:
    """Whether ``value`` is made of numbers, words and containers of them, so that ``repr`` tells all."""
    if isinstance(value, dict):
        return all(map(_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return value is None or isinstance(value, (str, int, float))


def fixed_size(arguments: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width that ``img_size`` among the constructor's arguments fixes, if any."""
    size = arguments.get("img_size")
    return (size, size) if isinstance(size, int) else tuple(size) if size else None
