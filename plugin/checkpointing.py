"""Gradient checkpointing (``with_cp``) for any network: memory changes, values do not.

The unit is the residual block, transformer block or Inception module, found by structure; a plain
chain of layers (VGG) is cut where the map is reduced. Each unit keeps its name and parameters: only
its ``forward`` is wrapped. While a unit is computed again in the backward pass its batch norms do
not update their statistics a second time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from .stages import CONTAINERS
from .trace import Trace

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Linear)


def add_checkpoints(net: nn.Module, trace: Trace) -> int:
    """Wrap every unit of ``net`` in place; returns how many units there are."""
    units = [[net.get_submodule(path)] for path in blocks(net, "", trace)]
    units += [[net.get_submodule(path) for path in run] for run in _leaf_runs(net, trace)]
    for first, *rest in units:
        first.forward = _Checkpointed([first, *rest])
        for module in rest:
            module.forward = _passed
    return len(units)


def _passed(x: Tensor) -> Tensor:
    """Forward of a layer that has already run inside the unit begun before it."""
    return x


class _Checkpointed:
    """The wrapped forward of one unit. An object, so that deep copies wrap their own modules."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = list(modules)

    def rebound(self, copies: Mapping[int, nn.Module]) -> _Checkpointed:
        """The same for a twin of the network, whose modules are ``copies`` by the identity of ours."""
        return _Checkpointed([copies.get(id(module), module) for module in self.modules])

    def _run(self, *args: Any, **kwargs: Any) -> Tensor:
        first, *rest = self.modules
        x = type(first).forward(first, *args, **kwargs)
        for module in rest:
            x = type(module).forward(module, x)
        return x

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_held(self.modules)

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        trains = x.requires_grad or any(p.requires_grad for m in self.modules for p in m.parameters())
        if not (torch.is_grad_enabled() and trains):
            return self._run(x, *args, **kwargs)
        if torch.compiler.is_compiling():  # the graph writes statistics once
            return checkpoint(self._run, x, *args, use_reentrant=False, **kwargs)
        return checkpoint(self._run, x, *args, use_reentrant=False, context_fn=self._contexts, **kwargs)


@contextmanager
def _statistics_held(modules: Sequence[nn.Module]) -> Iterator[None]:
    norms = [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    saved: list[tuple[Any, ...]] = [
        (norm, norm.momentum, None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone())
        for norm in norms
    ]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, tracked in saved:
            norm.momentum = momentum
            if tracked is not None:
                norm.num_batches_tracked.copy_(tracked)


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


def _leaf_runs(net: nn.Module, trace: Trace) -> Iterator[list[str]]:
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
