"""What every source gives: a network whose maps can be read at numbered taps."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

#: What a plain transformer gets beside its own modules: see :mod:`mmbackbones.taps.pyramid`.
PYRAMID_NAME = "pyramid"


class FeatureNet(Protocol):
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
        """See :class:`FeatureNet`."""
        maps = []
        for index, path in enumerate(self.steps[: taps[-1] + 1]):
            x = child(self.net, path)(x)
            if index in taps:
                maps.append(x.permute(0, 3, 1, 2).contiguous() if self.channels_last else x)
        return maps


def child(net: nn.Module, path: str) -> nn.Module:
    """As ``net.get_submodule(path)``, which torch 2.4 does not compile."""
    for name in path.split("."):
        net = getattr(net, name)
    return net


def bound_to(feature_net: FeatureNet, net: nn.Module) -> FeatureNet:
    """``feature_net``, and what it wraps, reading the maps of ``net``: a network of the same structure."""
    other = copy.copy(feature_net)
    other.net = net
    if hasattr(feature_net, "inner"):
        other.inner = bound_to(feature_net.inner, net)  # type: ignore[attr-defined]
    return other
