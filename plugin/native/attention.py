"""Attention for the blocks of convolutional networks: SE, CBAM and ECA.

Each takes a map (N, C, H, W) and returns it weighted, same shape. Those that read the whole map at once
are :class:`GlobalGate`: a dilated network has more cells to read, so only there its values differ from
the ordinary network's.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from ..errors import InputError

#: How many times fewer channels the hidden layer of SE's and CBAM's gates has.
REDUCTION = 16


class GlobalGate(nn.Module):
    """Weights each channel by what it is like over the whole map."""


def _squeeze(channels: int) -> nn.Sequential:
    """C to C / REDUCTION to C, as 1x1 convolutions with biases."""
    hidden = max(1, channels // REDUCTION)
    return nn.Sequential(
        OrderedDict(fc1=nn.Conv2d(channels, hidden, 1), act=nn.ReLU(), fc2=nn.Conv2d(hidden, channels, 1))
    )


class SqueezeExcite(GlobalGate):
    """Squeeze and excitation (arXiv 1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = _squeeze(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), weighted by channel."""
        return x * self.mlp(x.mean((2, 3), keepdim=True)).sigmoid()


class ChannelGate(GlobalGate):
    """The first half of CBAM: one network reads the mean and the maximum of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = _squeeze(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), weighted by channel."""
        mean, peak = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return x * (self.mlp(mean) + self.mlp(peak)).sigmoid()


class SpatialGate(nn.Module):
    """The second half of CBAM: a 7x7 convolution reads the maximum and the mean over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), weighted by cell."""
        seen = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * self.bn(self.conv(seen)).sigmoid()


class CBAM(nn.Sequential):
    """Convolutional block attention (arXiv 1807.06521): by channel, then by cell."""

    def __init__(self, channels: int) -> None:
        super().__init__(OrderedDict(channel=ChannelGate(channels), spatial=SpatialGate()))


class EfficientChannelAttention(GlobalGate):
    """ECA (arXiv 1910.03151): a convolution over neighbouring channels, wider for more channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = int((math.log2(channels) + 1) / 2)
        kernel += 1 - kernel % 2  # the next odd number
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), weighted by channel."""
        weights = self.conv(x.mean((2, 3)).unsqueeze(1)).sigmoid()
        return x * weights.transpose(1, 2).unsqueeze(-1)


ATTENTIONS: dict[str, type[nn.Module]] = {
    "se": SqueezeExcite,
    "cbam": CBAM,
    "eca": EfficientChannelAttention,
}


def make_attention(kind: str, channels: int) -> nn.Module:
    """The module called ``kind`` ('se', 'cbam' or 'eca') for maps of ``channels`` channels.

    Raises:
        InputError: no such module.
    """
    if kind not in ATTENTIONS:
        raise InputError(f"attention={kind!r} is not known. Allowed: {', '.join(map(repr, ATTENTIONS))}.")
    return ATTENTIONS[kind](channels)


def embed_attention(net: nn.Module, kind: str) -> None:
    """Put attention into every residual block of timm's ResNet, ResNeXt or Wide ResNet, in place.

    It weights the branch behind its last batch norm, before the addition: where timm has its own.

    Raises:
        InputError: no such module, or ``net`` has no residual blocks without attention.
    """
    from timm.models.resnet import BasicBlock, Bottleneck

    blocks = [module for module in net.modules() if isinstance(module, (BasicBlock, Bottleneck))]
    if not blocks or any(block.se is not None for block in blocks):
        raise InputError(
            f"attention={kind!r} is for timm's ResNets whose residual blocks have none yet: "
            f"resnet*, resnext*, wide_resnet*."
        )
    for block in blocks:
        norm = block.bn3 if isinstance(block, Bottleneck) else block.bn2
        block.se = make_attention(kind, norm.num_features)


def attention_paths(net: nn.Module) -> tuple[str, ...]:
    """Paths of the modules above in ``net``: files of networks without attention have no weights for them."""
    kinds = tuple(ATTENTIONS.values())
    return tuple(path for path, module in net.named_modules() if isinstance(module, kinds))
