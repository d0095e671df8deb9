"""A step of training in which all maps take part."""

import torch
from torch import nn


def loss(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return sum((fmap.float() ** 2).mean() for fmap in net(x))
