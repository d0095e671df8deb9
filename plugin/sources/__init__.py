"""Where a network comes from: each source turns a name into a :class:`Tapped` net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from ..errors import InputError


class Tapped(Protocol):
    """A network whose maps can be read at numbered taps, in order of execution.

    Attributes:
        net: The upstream's own module, with the upstream's parameter names.
        taps: How many taps there are.
        classifier: Prefixes of parameter names that belong to the classifier.
    """

    net: nn.Module
    taps: int
    classifier: tuple[str, ...]

    def run(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """NCHW maps at ``taps`` (ascending); nothing behind the last one is computed."""
        ...


def open_net(source: str, upstream: str, in_channels: int, net_kwargs: dict[str, Any]) -> Tapped:
    """Build ``upstream`` of ``source`` with fresh weights, without its classifier.

    Raises:
        InputError: the source has no such network, or refuses the arguments.
    """
    if source == "timm":
        from .timm import TimmNet

        return TimmNet(upstream, in_channels, net_kwargs)
    if source == "torchvision":
        from .torchvision import TorchvisionNet

        return TorchvisionNet(upstream, in_channels, net_kwargs)
    raise InputError(f"Unknown source '{source}'. Sources are: timm, torchvision.")
