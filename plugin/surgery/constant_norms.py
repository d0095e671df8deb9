"""Batch norms that keep their statistics in training, computed with the convolutions before them.

With constant statistics a convolution and its batch norm are one convolution with another weight. Made of the
parameters in each step, it trains as the two do (arXiv 2305.11624): one map less is computed and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from .folding import foldable
from .norms import FrozenBatchNorm2d


def join_constant_norms(net: nn.Module, in_channels: int) -> int:
    """Let a net's convolutions apply the batch norms behind them while those are constant; returns how many.

    Values and gradients are the same within rounding. Parameters and names stay, and a norm that is put into
    training mode, as one of a stage that thaws, normalises by the batch again. Nothing is done to a net in
    whose training mode no norm is constant, or which does not run on the meta device.

    Args:
        net: Takes ``(N, in_channels, H, W)`` and returns maps; changed in place, and in the mode it was in.
        in_channels: Channels of the image.
    """
    mode = net.training
    net.train()
    some = any(_is_constant(module) for module in net.modules() if hasattr(module, "running_var"))
    net.train(mode)
    if not some:
        return 0
    try:
        pairs = foldable(net, in_channels)
    except Exception:  # a net of any author, which may not run on the meta device or at this size
        return 0
    for conv_name, norm_name in pairs:
        conv: Any = net.get_submodule(conv_name)
        norm = net.get_submodule(norm_name)
        conv.forward = _Joined(conv, norm)
        norm.forward = _Rest(norm)
    return len(pairs)


def _is_constant(norm: nn.Module) -> bool:
    return not norm.training or isinstance(norm, FrozenBatchNorm2d)


class _Joined:
    """Forward of a convolution with the batch norm behind it. An object, so that copies have their own."""

    def __init__(self, conv: nn.Conv2d, norm: nn.Module) -> None:
        self.conv, self.norm = conv, norm

    def rebound(self, copies: Mapping[int, nn.Module]) -> _Joined:
        """The same for a copy of the network, whose modules are ``copies`` by the identity of ours."""
        conv = cast(nn.Conv2d, copies.get(id(self.conv), self.conv))
        return _Joined(conv, copies.get(id(self.norm), self.norm))

    def __call__(self, x: Tensor) -> Tensor:
        conv, norm = self.conv, cast(Any, self.norm)
        if not _is_constant(norm):
            return type(conv).forward(conv, x)
        if not pays(conv, x):
            maps = type(conv).forward(conv, x)
            given = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            return nn.functional.batch_norm(maps, *given, False, 0.0, norm.eps)
        scale = (norm.running_var + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight
        bias = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
        bias = bias * scale if norm.bias is None else bias * scale + norm.bias
        return conv._conv_forward(x, conv.weight * scale.view(-1, 1, 1, 1), bias)


class _Rest:
    """Forward of that norm: what else its class does behind the norm, as timm's drop-out and activation."""

    def __init__(self, norm: nn.Module) -> None:
        self.norm = norm

    def rebound(self, copies: Mapping[int, nn.Module]) -> _Rest:
        """The same for a copy of the network, whose modules are ``copies`` by the identity of ours."""
        return _Rest(copies.get(id(self.norm), self.norm))

    def __call__(self, x: Tensor) -> Tensor:
        if not _is_constant(self.norm):
            plain: Tensor = type(self.norm).forward(self.norm, x)
            return plain
        for key in ("drop", "act"):
            part = getattr(self.norm, key, None)
            x = part(x) if isinstance(part, nn.Module) else x
        return x


def pays(conv: nn.Conv2d, x: Tensor) -> bool:
    """Whether the map that is spared has more elements than the weight that is made for it."""
    cells = x.shape[0] * x.shape[2] * x.shape[3] / (conv.stride[0] * conv.stride[1])
    return bool(cells >= conv.weight[0].numel())
