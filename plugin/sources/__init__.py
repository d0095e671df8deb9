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


class ChainNet:
    """A network that runs as a chain of its submodules, with a tap after each step.

    Args:
        net: The module; parameters keep its names.
        steps: Paths of submodules in order of execution.
        channels_last: Whether the submodules hand on NHWC maps.
        classifier: Prefixes of parameter names that belong to the classifier.
    """

    def __init__(
        self,
        net: nn.Module,
        steps: Sequence[str],
        *,
        channels_last: bool = False,
        classifier: tuple[str, ...] = ("classifier",),
    ) -> None:
        self.net, self.steps, self.channels_last = net, tuple(steps), channels_last
        self.classifier = classifier
        self.taps = len(self.steps)

    def run(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """See :class:`Tapped`."""
        maps = []
        for index, path in enumerate(self.steps[: taps[-1] + 1]):
            x = self.net.get_submodule(path)(x)
            if index in taps:
                maps.append(x.permute(0, 3, 1, 2).contiguous() if self.channels_last else x)
        return maps


def open_net(source: str, upstream: str, in_channels: int, net_kwargs: dict[str, Any]) -> Tapped:
    """Build ``upstream`` of ``source`` with fresh weights, without its classifier.

    Raises:
        InputError: the source has no such network, or refuses the arguments.
    """
    if source == "timm":
        from .timm import TimmNet

        return TimmNet(upstream, in_channels, net_kwargs)
    if source == "torchvision":
        from .torchvision import open_torchvision

        return open_torchvision(upstream, in_channels, net_kwargs)
    if source == "native":
        from .native import open_native

        return open_native(upstream, in_channels, net_kwargs)
    raise InputError(f"Unknown source '{source}'. Sources are: timm, torchvision, native.")
