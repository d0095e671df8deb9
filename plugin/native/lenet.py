"""LeNet-5 (LeCun et al. 1998, DOI 10.1109/5.726791)."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from .chain import Chain
from .layers import half


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x / 3), which maps 1 to 1 and -1 to -1."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, element by element."""
        return 1.7159 * torch.tanh(x * (2 / 3))


def lenet5(*, in_channels: int = 3, repair_padding: bool = True) -> Chain:
    """LeNet-5 in its dense form: C3 sees all maps, the means of S2 and S4 have no parameters.

    The maps are S2 (6 channels, stride 2) and S4 (16, stride 4). C5, a 5x5 convolution to 120 maps that
    fits S4 exactly at 32x32 pixels, is the first layer of the classifier, which is left out.
    """
    padding = half(5) if repair_padding else 0
    steps = {
        "stage1": _stage("c1", nn.Conv2d(in_channels, 6, 5, padding=padding), "s2", repair_padding),
        "stage2": _stage("c3", nn.Conv2d(6, 16, 5, padding=padding), "s4", repair_padding),
    }
    return Chain(steps)


def _stage(conv_name: str, conv: nn.Conv2d, pool_name: str, ceil_mode: bool) -> nn.Sequential:
    layers = {conv_name: conv, "act": ScaledTanh(), pool_name: nn.AvgPool2d(2, ceil_mode=ceil_mode)}
    return nn.Sequential(OrderedDict(layers))
