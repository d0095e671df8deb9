"""GoogLeNet as its paper has it (arXiv 1409.4842): 5x5 branches, local response norm, no batch norm.

torchvision's has batch norm, and 3x3 where the paper has 5x5.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from .chain import Chain
from .layers import Branches, conv_norm_act, initialised, max_pool

#: Of each Inception module: 1x1, 3x3 (reduced, full), 5x5 (reduced, full), behind the pool.
WIDTHS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

_conv = partial(conv_norm_act, norm=False, bias=True)


def googlenet_original(*, in_channels: int = 3, repair_padding: bool = True) -> Chain:
    """Without repair the size is 224."""
    pool = partial(max_pool, repair_padding=repair_padding, ceil_mode=True)
    steps: dict[str, nn.Module] = {
        "conv1": _conv(in_channels, 64, 7, 2),
        "pool1": pool(),
        "norm1": nn.LocalResponseNorm(5),
        "conv2_reduce": _conv(64, 64, 1),
        "conv2": _conv(64, 192, 3),
        "norm2": nn.LocalResponseNorm(5),
        "pool2": pool(),
    }
    channels = 192
    for name, widths in WIDTHS.items():
        if name in ("4a", "5a"):
            steps[f"pool{int(name[0]) - 1}"] = pool()
        steps[f"inception{name}"] = _inception(channels, *widths)
        channels = _width(widths)
    return initialised(Chain(steps))


def _inception(
    channels: int, one: int, three_in: int, three: int, five_in: int, five: int, pool: int
) -> Branches:
    return Branches(
        _conv(channels, one, 1),
        nn.Sequential(_conv(channels, three_in, 1), _conv(three_in, three, 3)),
        nn.Sequential(_conv(channels, five_in, 1), _conv(five_in, five, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _conv(channels, pool, 1)),
    )


def _width(widths: tuple[int, ...]) -> int:
    """Channels of a module: its branches' last layers."""
    return widths[0] + widths[2] + widths[4] + widths[5]
