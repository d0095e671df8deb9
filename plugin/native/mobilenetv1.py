"""MobileNet v1 (arXiv 1704.04861) at any width; timm has 1.0 and 1.25."""

from __future__ import annotations

from torch import nn

from .chain import Chain
from .layers import conv_norm_act, initialised

#: Width of each pair at width 1, and the stride of its depthwise layer.
PAIRS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


class Pair(nn.Sequential):
    """A depthwise 3x3 and a 1x1 convolution: one block for gradient checkpointing."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__(
            conv_norm_act(channels, channels, 3, stride, groups=channels, act=nn.ReLU6),
            conv_norm_act(channels, width, 1, act=nn.ReLU6),
        )


def mobilenetv1(
    *,
    in_channels: int = 3,
    width: float = 1.0,
    repair_padding: bool = True,  # taken as by all builders; the paper's maps are exact already
) -> Chain:
    """MobileNet v1 with all channels times ``width``."""
    channels = round(32 * width)
    steps: dict[str, nn.Module] = {"stem": conv_norm_act(in_channels, channels, 3, 2, act=nn.ReLU6)}
    for index, (full, stride) in enumerate(PAIRS, start=1):
        steps[f"pair{index}"] = Pair(channels, round(full * width), stride)
        channels = round(full * width)
    return initialised(Chain(steps))
