"""Squeeze-and-excitation gates, found by what they do: no name of a class says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..sources import FeatureNet
from .shapes import ShapesOnly
from .trace import Trace, meta_copy


def has_gate(feature_net: FeatureNet, trace: Trace) -> bool:
    """Whether an RGB network has a squeeze-and-excitation gate (arXiv 1709.01507) before its last map.

    Such a gate gives a map of the shape that it gets, and all its layers with weights, convolutions or linear
    ones among them, read one value per channel. ECA's, over neighbouring channels, are none.

    Args:
        feature_net: The network, on any device; its weights are not read.
        trace: Its record with all maps.
    """
    copied = meta_copy(feature_net)
    pooled: dict[str, bool] = {}
    keeping: set[str] = set()
    for name, module in copied.net.named_modules():
        if list(module.children()):
            module.register_forward_hook(_keeper(name, keeping))
        elif next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(_reader(name, pooled))
    with torch.inference_mode(False), torch.no_grad(), ShapesOnly():
        copied.run(torch.empty(1, 3, *trace.size, device="meta"), list(trace.taps.values()))
    return any(_is_gate(copied.net.get_submodule(path), path, pooled) for path in keeping)


def _is_gate(module: nn.Module, path: str, pooled: dict[str, bool]) -> bool:
    inside = {name: layer for name, layer in module.named_modules(prefix=path) if name in pooled}
    mixes = any(isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in inside.values())
    return mixes and all(pooled[name] for name in inside)


def _keeper(name: str, keeping: set[str]) -> Callable[[nn.Module, Any, Any], None]:
    """A hook that notes ``name`` where a map keeps its shape."""

    def note(_: nn.Module, inputs: tuple[Any, ...], out: Any) -> None:
        x = inputs[0] if inputs else None
        if isinstance(x, Tensor) and isinstance(out, Tensor) and x.ndim == 4 and x.shape == out.shape:
            keeping.add(name)

    return note


def _reader(name: str, pooled: dict[str, bool]) -> Callable[[nn.Module, Any], None]:
    """A hook that notes whether all that a layer reads has one value per channel."""

    def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        x = inputs[0] if inputs else None
        one = isinstance(x, Tensor) and x.numel() == max(x.shape, default=0)
        pooled[name] = pooled.get(name, True) and one

    return note
