"""Takes out of a network what the asked maps do not depend on."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..sources import FeatureNet
from ..tracing.shapes import ShapesOnly
from ..tracing.stages import CONTAINERS
from ..tracing.trace import Trace, meta_copy


def prune(feature_net: FeatureNet, asked: Trace, in_channels: int) -> None:
    """Take out of the network, in place, what the asked maps do not depend on.

    A module that is not called becomes ``nn.Identity`` (indices of containers stay), and so does one
    that is called behind the last map, as GhostNet's head, if the maps can be had without it. What is
    computed in between but reaches no asked map, as some branches of HRNet, remains.
    """
    called = set(asked.order)
    tail = _tail(feature_net.net, asked)
    if tail:
        copied = meta_copy(feature_net)
        _prune_children(copied.net, _alive(copied.net, asked.needed, called - tail))
        if _runs(copied, asked, in_channels):
            called -= tail
            for path in tail:  # what was taken out made a copy; nothing may write into the map instead
                module: Any = feature_net.net.get_submodule(path)
                if getattr(module, "inplace", False):
                    module.inplace = False
    _prune_children(feature_net.net, _alive(feature_net.net, asked.needed, called))


def _tail(net: nn.Module, asked: Trace) -> set[str]:
    """Modules called after the last one whose parameters are needed, if any has parameters."""
    owners = {name.rpartition(".")[0] for name in asked.needed}
    last = max((index for index, path in enumerate(asked.order) if path in owners), default=-1)
    tail = asked.order[last + 1 :]
    weighted = any(next(net.get_submodule(path).parameters(), None) is not None for path in tail)
    return set(tail) if weighted else set()


def _runs(copied: FeatureNet, asked: Trace, in_channels: int) -> bool:
    """Whether the copy still gives maps of the asked channels."""
    image = torch.empty(1, in_channels, *asked.size, device="meta")
    try:
        with torch.no_grad(), ShapesOnly():
            maps = copied.run(image, list(asked.taps.values()))
    except (RuntimeError, AttributeError, TypeError):  # a branch that others read was taken out
        return False
    return [fmap.shape[1] for fmap in maps] == list(asked.channels.values())


def _prune_children(module: nn.Module, alive: set[int]) -> None:
    for name, child in list(module.named_children()):
        inside = [*child.modules(), *child.parameters()]
        weighted = next(child.parameters(), None) is not None
        container = isinstance(child, CONTAINERS)  # upstreams slice and iterate these: they stay
        if weighted and not container and alive.isdisjoint(map(id, inside)):
            setattr(module, name, nn.Identity())
        else:
            _prune_children(child, alive)


def _alive(net: nn.Module, needed: frozenset[str], called: set[str]) -> set[int]:
    """Ids of the parameters and modules that stay. Not their names: CoaT has one module in two places."""
    params = [param for name, param in net.named_parameters() if name in needed]
    return {id(kept) for kept in [*params, *(net.get_submodule(path) for path in called)]}
