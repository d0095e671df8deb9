"""The meta device without the arithmetic: for a norm, an activation or a fill torch takes milliseconds there.

It works out the shapes of all their steps in Python, most of what a build or a trace takes otherwise; and
all that comes of it is a tensor of the shape that went in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class ShapesOnly(TorchFunctionMode):
    """Inside, what a norm (in eval mode), an activation or a linear layer gives on the meta device has its
    shape and its place in autograd's graph, at a fiftieth of the time; everything else is as ever.

    Args:
        products: Linear layers too; not where their products are counted.
    """

    def __init__(self, products: bool = True) -> None:
        super().__init__()
        self.products = products

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        give = _SHAPES.get(func)
        if give is None or not args or not args[0].is_meta or (func is F.linear and not self.products):
            return func(*args, **kwargs)
        given = give(*args, **kwargs)
        if given is None:
            return func(*args, **kwargs)
        return _Depends.apply(given, *(x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)))


class Unfilled(TorchFunctionMode):
    """Inside, what draws weights does nothing on the meta device: torch's initialisers, and what fills or
    scales a tensor in place by numbers and is not for autograd to see."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _INITIALISERS or func in _FILLS:
            given: list[Any] = [*args, *kwargs.values()]
            filled = given.pop(0)
            seen = func in _FILLS and filled.requires_grad and torch.is_grad_enabled()
            if filled.is_meta and not seen and not any(isinstance(value, Tensor) for value in given):
                return filled
        return func(*args, **kwargs)


class _Depends(torch.autograd.Function):
    """``given``, as what was computed from ``read``: all of it gets a gradient, without a value too."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, *read: Tensor) -> Tensor:
        ctx.read = read
        return _like(given)  # given itself would count as a view, which nothing may change

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        wanted = zip(ctx.read, ctx.needs_input_grad[1:], strict=True)
        return None, *(_like(x) if needs else None for x, needs in wanted)


def _like(x: Tensor) -> Tensor:
    """``torch.empty_like``, of which the meta device works out strides in Python, ten times as long."""
    return torch.empty(x.shape, dtype=x.dtype, device=x.device) if x.is_contiguous() else torch.empty_like(x)


def _same(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return _like(x)


def _batch_norm(x: Tensor, *rest: Any, training: bool = False, **__: Any) -> Tensor | None:
    learns = training or (len(rest) > 4 and rest[4])
    return None if learns else _like(x)


def _layer_norm(x: Tensor, shape: Sequence[int], *_: Any, **__: Any) -> Tensor | None:
    return x.new_empty(x.shape) if tuple(x.shape[-len(shape) :]) == tuple(shape) else None


def _linear(x: Tensor, weight: Tensor, *_: Any, **__: Any) -> Tensor | None:
    return x.new_empty((*x.shape[:-1], len(weight))) if x.shape[-1] == weight.shape[1] else None


#: What a function gives for its arguments; None where they do not fit or more than a shape comes of them.
_SHAPES: dict[Any, Callable[..., Tensor | None]] = {
    **dict.fromkeys(
        (F.gelu, F.relu, F.relu6, F.hardtanh, F.hardswish, F.hardsigmoid, F.leaky_relu, F.mish), _same
    ),
    F.batch_norm: _batch_norm,
    F.layer_norm: _layer_norm,
    F.linear: _linear,
}

#: They call those below where no mode sees it.
_INITIALISERS = {
    nn.init.uniform_,
    nn.init.normal_,
    nn.init.trunc_normal_,
    nn.init.constant_,
    nn.init.kaiming_uniform_,
}
_FILLS = {
    Tensor.uniform_,
    Tensor.normal_,
    Tensor.fill_,
    Tensor.zero_,
    Tensor.erfinv_,
    Tensor.mul_,
    Tensor.add_,
    Tensor.clamp_,
}
