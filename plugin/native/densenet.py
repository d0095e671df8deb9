"""DenseNet-264 (arXiv 1608.06993) with growth 32; timm's ``densenet264d`` is another, wider network."""

from __future__ import annotations

from timm.models.densenet import DenseNet
from torch import nn

from .chain import Chain


def densenet264(*, in_channels: int = 3, repair_padding: bool = True) -> Chain:
    """DenseNet with blocks of 6, 12, 64 and 48 layers. Without repair 32 must divide the size.

    It is timm's class: parameters are named as timm's and torchvision's smaller DenseNets'.
    """
    features = DenseNet(32, (6, 12, 64, 48), num_classes=0, in_chans=in_channels).features
    for module in features.modules():
        if isinstance(module, nn.AvgPool2d):
            module.ceil_mode = repair_padding
    net = Chain({"features": features})
    net.steps = tuple(f"features.{name}" for name, _ in features.named_children())
    return net
