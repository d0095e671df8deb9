"""Blocks that several networks of this folder share.

Maps of exactly ``ceil(size / stride)`` cells for any size come from two rules: a window with an odd
side ``k`` is padded by ``k // 2`` on each side, one with an even side rounds its number of cells up.
Either puts cell i of a stride-s map within s / 2 of pixel (i + 0.5) s. Where a paper's layers follow
other rules, ``repair_padding=False`` keeps them: the weights fit both.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

#: What a fresh residual branch is multiplied by. At 1 the sums double with every block as long as batch
#: norms do not know the data, up to numbers that float32 represents only roughly.
DAMPING = 0.25

Size = int | tuple[int, int]
Net = TypeVar("Net", bound=nn.Module)


def half(kernel: Size) -> Size:
    """The padding that keeps an odd ``kernel`` centred on its cell."""
    return kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)


def conv_norm_act(
    in_channels: int,
    out_channels: int,
    kernel: Size,
    stride: int = 1,
    *,
    padding: Size | None = None,
    groups: int = 1,
    bias: bool = False,
    norm: bool = True,
    eps: float = 1e-5,
    act: Callable[[], nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution ``conv``, batch norm ``bn`` and activation ``act``; the last two may be left out.

    Without ``padding`` the convolution is centred (see above).
    """
    padding = half(kernel) if padding is None else padding
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=bias)
    }
    if norm:
        layers["bn"] = nn.BatchNorm2d(out_channels, eps=eps)
    if act is not None:
        layers["act"] = act()
    return nn.Sequential(OrderedDict(layers))


def max_pool(kernel: int = 3, *, repair_padding: bool, ceil_mode: bool = False) -> nn.MaxPool2d:
    """A pool that halves exactly; with ``repair_padding=False`` an unpadded one, as most papers have."""
    if not repair_padding:
        return nn.MaxPool2d(kernel, 2, ceil_mode=ceil_mode)
    odd = kernel % 2 == 1
    return nn.MaxPool2d(kernel, 2, padding=kernel // 2 if odd else 0, ceil_mode=not odd)


class Branches(nn.Module):
    """An Inception module: branches side by side on one map, their channels concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for index, branch in enumerate(branches):
            self.add_module(f"branch{index}", branch)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, sum of the branches' channels, h, w)."""
        return self.mix(x)

    def mix(self, x: Tensor) -> Tensor:
        """What the branches give, side by side."""
        named = self.named_children()
        return torch.cat([branch(x) for name, branch in named if name.startswith("branch")], 1)


def initialised(net: Net) -> Net:
    """Draw ``net``'s weights so that ReLU keeps the variance (arXiv 1502.01852); biases become zero."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net
