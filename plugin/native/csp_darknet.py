"""CSPDarknet53-tiny (arXiv 2011.08036), the backbone of YOLOv4-tiny."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from .chain import Chain
from .layers import conv_norm_act, initialised, max_pool

_conv = partial(conv_norm_act, act=partial(nn.LeakyReLU, 0.1))


class TinyBlock(nn.Module):
    """Cross stage partial block: the second half of the channels takes the detour.

    The first half of what it returns is the straight way; the second is the map that YOLOv4-tiny reads.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv = _conv(channels, channels, 3)
        self.detour1 = _conv(half, half, 3)
        self.detour2 = _conv(half, half, 3)
        self.join = _conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, 2 channels, H, W)."""
        x = self.conv(x)
        first = self.detour1(x.chunk(2, 1)[1])
        return torch.cat([x, self.join(torch.cat([self.detour2(first), first], 1))], 1)


def cspdarknet53_tiny(*, in_channels: int = 3, repair_padding: bool = True) -> Chain:
    """The first 27 layers of the official definition. Without repair 32 must divide the size."""
    steps: dict[str, nn.Module] = {"conv1": _conv(in_channels, 32, 3, 2), "conv2": _conv(32, 64, 3, 2)}
    for index, channels in enumerate((64, 128, 256), start=1):
        steps[f"block{index}"] = TinyBlock(channels)
        steps[f"pool{index}"] = max_pool(2, repair_padding=repair_padding)
    steps["conv3"] = _conv(512, 512, 3)
    return initialised(Chain(steps))
