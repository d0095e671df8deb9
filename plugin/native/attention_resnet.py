"""CBAM-ResNet (arXiv 1807.06521): timm's ResNet with CBAM in each residual block."""

from __future__ import annotations

import timm

from .attention import embed_attention
from .chain import Chain


def cbam_resnet50(
    *,
    in_channels: int = 3,
    repair_padding: bool = True,  # taken as by all builders; the paper's maps are exact already
) -> Chain:
    """ResNet-50 with CBAM before each addition; all other parameters are named as timm's ResNet's."""
    net = timm.create_model("resnet50", in_chans=in_channels, num_classes=0)
    embed_attention(net, "cbam")
    names = ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return Chain({name: getattr(net, name) for name in names})
