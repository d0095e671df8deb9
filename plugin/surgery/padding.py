"""Repairs the padding of nets written with unpadded convolutions and pools; weights stay valid.

A layer with an odd window gets half of it on each side, so that its map has ``ceil(size / stride)``
cells and cell i looks at its own place in the image, as anchors and RoIAlign assume. Concerned are
AlexNet, SqueezeNet, Inception v3 and v4, Inception-ResNet and the first Xception.
"""

from __future__ import annotations

from typing import Any

from torch import nn

Window = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d


def repair_padding(net: nn.Module) -> bool:
    """Centre every window of ``net`` in place; returns whether any layer was changed."""
    changed = False
    for module in net.modules():
        if isinstance(module, Window) and type(module).forward in _FORWARDS:
            changed |= _centre(module)
    return changed


_FORWARDS = (nn.Conv2d.forward, nn.MaxPool2d.forward, nn.AvgPool2d.forward)


def _centre(module: Window) -> bool:
    if isinstance(module.padding, str):
        return False
    kernel, padding, dilation = (
        both_sides(getattr(module, what, 1)) for what in ("kernel_size", "padding", "dilation")
    )
    windows = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    wanted = tuple(w // 2 if w % 2 else p for w, p in zip(windows, padding, strict=True))
    if wanted == padding or any(w < p for w, p in zip(wanted, padding, strict=True)):
        return False
    module.padding = wanted
    if not isinstance(module, nn.Conv2d):
        module.ceil_mode = False
    if isinstance(module, nn.AvgPool2d):
        module.count_include_pad = False
    return True


def both_sides(value: Any) -> tuple[int, int]:
    """Height and width of a layer's argument that may be one number, or one side's, for both."""
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
