"""OverFeat (arXiv 1312.6229), the fast network.

The accurate one has strides 2, 6, 12 and 36: no pyramid of powers of two.
"""

from __future__ import annotations

from torch import nn

from .chain import Chain
from .layers import half, initialised, max_pool


def overfeat_fast(*, in_channels: int = 3, repair_padding: bool = True) -> Chain:
    """Without repair the size is 231."""
    steps = {
        "conv1": nn.Conv2d(in_channels, 96, 11, 4, half(11) if repair_padding else 0),
        "relu1": nn.ReLU(),
        "pool1": max_pool(2, repair_padding=repair_padding),
        "conv2": nn.Conv2d(96, 256, 5, padding=half(5) if repair_padding else 0),
        "relu2": nn.ReLU(),
        "pool2": max_pool(2, repair_padding=repair_padding),
        "conv3": nn.Conv2d(256, 512, 3, padding=1),
        "relu3": nn.ReLU(),
        "conv4": nn.Conv2d(512, 1024, 3, padding=1),
        "relu4": nn.ReLU(),
        "conv5": nn.Conv2d(1024, 1024, 3, padding=1),
        "relu5": nn.ReLU(),
        "pool5": max_pool(2, repair_padding=repair_padding),
    }
    return initialised(Chain(steps))
