"""From a name to a network that is ready to be traced: pools as modules, pyramid, repaired padding."""

from __future__ import annotations

from typing import Any

from .errors import InputError
from .native.attention import embed_attention
from .padding import repair_padding
from .pools import pools_as_modules
from .pyramid import PyramidNet, is_plain
from .sizes import Blueprint, any_size
from .sources import Tapped, open_net
from .trace import Trace, meta_twin, trace
from .windows import pad_before_shift


def open_traced(
    source: str,
    upstream: str,
    in_channels: int,
    arguments: dict[str, Any],
    *,
    name: str,
    repair: bool = True,
    attention: str | None = None,
) -> tuple[Tapped, Tapped, Trace]:
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
    if source == "native":
        arguments = {"repair_padding": repair, **arguments}
    tapped = open_net(source, upstream, in_channels, arguments)
    if attention is not None:
        embed_attention(tapped.net, attention)
    pools_as_modules(tapped.net)
    pad_before_shift(tapped.net)
    if source != "native":
        tapped = any_size(tapped, Blueprint(source, upstream, arguments))
    if is_plain(tapped):
        tapped = PyramidNet(tapped)
    size = fixed_size(arguments)
    try:
        return tapped, tapped, trace(tapped, in_channels, name=name, size=size)
    except InputError:
        padded = tapped if repair else meta_twin(tapped)
        if not repair_padding(padded.net):
            raise
    return tapped, padded, trace(padded, in_channels, name=name, size=size)


def fixed_size(arguments: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width that ``img_size`` among the constructor's arguments fixes, if any."""
    size = arguments.get("img_size")
    return (size, size) if isinstance(size, int) else tuple(size) if size else None
