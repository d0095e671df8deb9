"""ZFNet (arXiv 1311.2901): AlexNet with a finer first layer and no towers."""

from __future__ import annotations

from torch import nn

from .alexnet import response_norm
from .chain import Chain
from .layers import half, initialised, max_pool


def zfnet(*, in_channels: int = 3, repair_padding: bool = True) -> Chain:
    """Without repair the size is 224."""
    steps = {
        "conv1": nn.Conv2d(in_channels, 96, 7, 2, half(7) if repair_padding else 1),
        "relu1": nn.ReLU(),
        "pool1": max_pool(repair_padding=repair_padding, ceil_mode=True),
        "norm1": response_norm(),
        "conv2": nn.Conv2d(96, 256, 5, 2, half(5) if repair_padding else 0),
        "relu2": nn.ReLU(),
        "pool2": max_pool(repair_padding=repair_padding, ceil_mode=True),
        "norm2": response_norm(),
        "conv3": nn.Conv2d(256, 384, 3, padding=1),
        "relu3": nn.ReLU(),
        "conv4": nn.Conv2d(384, 384, 3, padding=1),
        "relu4": nn.ReLU(),
        "conv5": nn.Conv2d(384, 256, 3, padding=1),
        "relu5": nn.ReLU(),
        "pool5": max_pool(repair_padding=repair_padding),
    }
    return initialised(Chain(steps))
