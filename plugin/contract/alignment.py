"""Where the cells of maps look: the gradient of the middle of each map with respect to noise."""

from __future__ import annotations

import torch

from ..backbone import Backbone

#: Sides of the image and of the block of cells in its middle, pixels: the block's borders, 96 and 128, are
#: borders of cells of all strides. A block and not a cell, because the fine maps of a plain transformer are
#: made of patches of 16 pixels; in the middle, because a field that reaches the borders is then cut alike on
#: all sides.
SIDE, BLOCK = 224, 32
NOISE = 1.0  # pixels by which two measurements differ


def offsets(net: Backbone, averages: bool = False) -> dict[int, tuple[float, float]]:
    """Pixels down and right from the middle cells of each map to what they look at, by stride.

    The centre of mass of the gradient above its median: what lies everywhere, as behind attention, has no
    place. ``net`` is in eval mode and has random weights, or ``averages``, see :func:`averaging`.
    """
    image = torch.randn(1, net.in_channels, SIDE, SIDE, requires_grad=True)
    if averages:  # small and positive: no activation cuts it
        image = torch.rand(1, net.in_channels, SIDE, SIDE).mul_(1e-6).requires_grad_()
    found = {}
    for stride, fmap in zip(net.out_strides, net(image), strict=True):
        cells = slice((SIDE - BLOCK) // 2 // stride, (SIDE + BLOCK) // 2 // stride)
        block = fmap[0, :, cells, cells]
        field = torch.zeros(SIDE, SIDE)
        for _ in range(4):
            value = (block * (1 if averages else torch.randn(block.shape).sign())).sum()
            (grad,) = torch.autograd.grad(value, image, retain_graph=True)
            field += grad[0].abs().sum(0)
        centres = []
        for axis in (0, 1):
            profile = field.sum(1 - axis)
            profile = (profile - profile.median()).clamp(min=0)
            centre = (profile * (torch.arange(SIDE) + 0.5)).sum() / profile.sum()
            centres.append(round(float(centre) - SIDE / 2, 1))
        found[stride] = (centres[0], centres[1])
    return found


def averaging(net: Backbone) -> Backbone:
    """``net``, changed in place, with windows that average: what is left of it is geometry.

    Random weights of few channels look beside by chance, several pixels in a net of depth-wise convolutions.
    """
    with torch.no_grad():
        for param in net.parameters():
            if param.ndim > 1:
                param.fill_(1.0 / param[0].numel())
    return net


def beside(found: dict[int, tuple[float, float]]) -> list[int]:
    """Strides whose cells look further beside their place than half a cell, by more than chance."""
    return [stride for stride, pair in found.items() if max(map(abs, pair)) > stride / 2 + NOISE]
