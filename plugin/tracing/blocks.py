"""The blocks of a network, found by structure: residual, transformer and dense blocks, Inception modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from torch import nn

from .stages import CONTAINERS
from .trace import Trace

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Linear)


def blocks(module: nn.Module, path: str, trace: Trace) -> Iterator[str]:
    """Paths of the blocks below ``module``: the largest that hold no series of blocks themselves."""
    for name, child in module.named_children():
        where = f"{path}.{name}" if path else name
        opened = type(child) in CONTAINERS or _holds_series(child, where, trace)
        if not opened and where in trace.plain and _weight_layers(child) > 1:
            yield where
        else:
            yield from blocks(child, where, trace)


def _holds_series(module: nn.Module, path: str, trace: Trace) -> bool:
    """Whether anything inside has two blocks of one kind that could be wrapped one by one."""
    for inside, owner in module.named_modules():
        where = f"{path}.{inside}" if inside else path
        kinds = Counter(
            type(child)
            for name, child in owner.named_children()
            if f"{where}.{name}" in trace.plain
            and type(child) not in CONTAINERS
            and _weight_layers(child) > 1
        )
        if kinds and max(kinds.values()) > 1:
            return True
    return False


def _weight_layers(module: nn.Module) -> int:
    return sum(isinstance(inside, _WEIGHTED) for inside in module.modules())


def leaf_runs(net: nn.Module, trace: Trace) -> Iterator[list[str]]:
    """Runs of layers that stand directly in an ``nn.Sequential`` and are called one after another.

    A new run begins at each layer that reduces the map, so that no run goes past a tap: the map of a stride
    is the last one before the next reduction. The trace says which: a dilated layer has no stride any more.
    """
    called = {name: index for index, name in enumerate(trace.order)}
    for path, module in net.named_modules():
        if not isinstance(module, nn.Sequential) or path in trace.plain:
            continue
        run: list[str] = []
        for name, _ in module.named_children():
            where = f"{path}.{name}" if path else name
            follows = bool(run) and called.get(where) == called[run[-1]] + 1
            if not follows or where in trace.reducing:
                yield from _worth(net, run)
                run = []
            if where in called:
                run.append(where)
        yield from _worth(net, run)


def _worth(net: nn.Module, run: list[str]) -> list[list[str]]:
    """``run`` if it holds two weight layers or more: one layer's input is kept anyway."""
    return [run] if sum(_weight_layers(net.get_submodule(path)) for path in run) > 1 else []
