"""Gradient checkpointing (``with_cp``) for any network: memory changes, values do not.

The unit is the residual block, transformer block or Inception module, found by structure; a plain
chain of layers (VGG) is cut where the map is reduced. Each unit keeps its name and parameters: only
its ``forward`` is wrapped. While a unit is computed again in the backward pass its batch norms do
not update their statistics a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..tracing.blocks import blocks, leaf_runs
from ..tracing.trace import Trace


def add_checkpoints(net: nn.Module, trace: Trace) -> int:
    """Wrap every unit of ``net`` in place; returns how many units there are."""
    units = [[net.get_submodule(path)] for path in blocks(net, "", trace)]
    units += [[net.get_submodule(path) for path in run] for run in leaf_runs(net, trace)]
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
        """The same for a copy of the network, whose modules are ``copies`` by the identity of ours."""
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
        if not (torch.is_grad_enabled() and trains) or x.is_meta:  # torch 2.4 has no torch.meta
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
