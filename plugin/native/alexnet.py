"""AlexNet as its paper has it: two towers and local response norm (Krizhevsky et al. 2012,
DOI 10.1145/3065386)."""

from __future__ import annotations

from torch import nn

from .chain import Chain
from .layers import half, initialised, max_pool


def response_norm() -> nn.LocalResponseNorm:
    """The paper's n=5, alpha=1e-4, beta=0.75, k=2; torch divides alpha by n, the paper does not."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def alexnet_original(*, in_channels: int = 3, repair_padding: bool = True) -> Chain:
    """The two towers are the groups of conv2, conv4 and conv5. Without repair the size is 227."""
    steps = {
        "conv1": nn.Conv2d(in_channels, 96, 11, 4, half(11) if repair_padding else 0),
        "relu1": nn.ReLU(),
        "norm1": response_norm(),
        "pool1": max_pool(repair_padding=repair_padding),
        "conv2": nn.Conv2d(96, 256, 5, padding=2, groups=2),
        "relu2": nn.ReLU(),
        "norm2": response_norm(),
        "pool2": max_pool(repair_padding=repair_padding),
        "conv3": nn.Conv2d(256, 384, 3, padding=1),
        "relu3": nn.ReLU(),
        "conv4": nn.Conv2d(384, 384, 3, padding=1, groups=2),
        "relu4": nn.ReLU(),
        "conv5": nn.Conv2d(384, 256, 3, padding=1, groups=2),
        "relu5": nn.ReLU(),
        "pool5": max_pool(repair_padding=repair_padding),
    }
    return initialised(Chain(steps))
