"""Inception-ResNet (arXiv 1602.07261): v1, and v2 with attention in its residual blocks.

v1 has the paper's 5, 10 and 5 blocks; v2 is the deeper network of 10, 20 and 10 that is released
everywhere, and names its parameters as timm's ``inception_resnet_v2`` does.
"""

from __future__ import annotations

from torch import Tensor, nn

from .attention import make_attention
from .chain import Chain
from .layers import Branches, Size, conv_norm_act, initialised, max_pool

#: Width and kernel of each layer of each branch.
Layers = list[tuple[int, Size]]

#: Residual blocks, and the factor of their sum.
V1_A: tuple[list[Layers], float] = ([[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (32, 3), (32, 3)]], 0.17)
V1_B: tuple[list[Layers], float] = ([[(128, 1)], [(128, 1), (128, (1, 7)), (128, (7, 1))]], 0.10)
V1_C: tuple[list[Layers], float] = ([[(192, 1)], [(192, 1), (192, (1, 3)), (192, (3, 1))]], 0.20)
V2_A: tuple[list[Layers], float] = ([[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]], 0.17)
V2_B: tuple[list[Layers], float] = ([[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]], 0.10)
V2_C: tuple[list[Layers], float] = ([[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]], 0.20)
#: Blocks whose branches' last layers halve the map; a max pool stands beside them.
V1_TO_B: list[Layers] = [[(384, 3)], [(192, 1), (192, 3), (256, 3)]]
V1_TO_C: list[Layers] = [[(256, 1), (384, 3)], [(256, 1), (256, 3)], [(256, 1), (256, 3), (256, 3)]]
V2_TO_B: list[Layers] = [[(384, 3)], [(256, 1), (256, 3), (384, 3)]]
V2_TO_C: list[Layers] = [[(256, 1), (384, 3)], [(256, 1), (288, 3)], [(256, 1), (288, 3), (320, 3)]]


class Residual(Branches):
    """Branches, a linear 1x1 convolution back to the input's width, and a damped sum."""

    def __init__(
        self,
        channels: int,
        branches: list[Layers],
        scale: float,
        *,
        attention: str | None = None,
        act: bool = True,
    ) -> None:
        super().__init__(*(_branch(channels, layers) for layers in branches))
        self.scale = scale
        self.conv2d = nn.Conv2d(sum(layers[-1][0] for layers in branches), channels, 1)
        self.attention = make_attention(attention, channels) if attention else nn.Identity()
        self.act = nn.ReLU() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W), same shape."""
        return self.act(x + self.scale * self.attention(self.conv2d(self.mix(x))))


def inception_resnet_v1(*, in_channels: int = 3, repair_padding: bool = True) -> Chain:
    """Inception-ResNet v1 with 5, 10 and 5 blocks. Without repair the size is 299."""
    steps = {
        **_stem(in_channels, repair_padding),
        "conv2d_4b": _conv(192, 256, 3, 2, repair_padding),
        "repeat": nn.Sequential(*(Residual(256, *V1_A) for _ in range(5))),
        "mixed_6a": _reduction(256, V1_TO_B, repair_padding),
        "repeat_1": nn.Sequential(*(Residual(896, *V1_B) for _ in range(10))),
        "mixed_7a": _reduction(896, V1_TO_C, repair_padding),
        "repeat_2": nn.Sequential(*(Residual(1792, *V1_C) for _ in range(5))),
    }
    return initialised(Chain(steps))


def se_inception_resnet_v2(
    *,
    in_channels: int = 3,
    attention: str | None = "se",
    repair_padding: bool = True,
) -> Chain:
    """Inception-ResNet v2 with SE (arXiv 1709.01507) on each residual branch before the sum.

    ``attention`` may be 'cbam', 'eca' or None (timm's network) instead. Without repair the size is 299.
    """
    last = Residual(2080, V2_C[0], 1.0, attention=attention, act=False)
    steps = {
        **_stem(in_channels, repair_padding),
        "maxpool_5a": max_pool(repair_padding=repair_padding),
        "mixed_5b": Branches(
            _branch(192, [(96, 1)]),
            _branch(192, [(48, 1), (64, 5)]),
            _branch(192, [(64, 1), (96, 3), (96, 3)]),
            nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), _branch(192, [(64, 1)])),
        ),
        "repeat": nn.Sequential(*(Residual(320, *V2_A, attention=attention) for _ in range(10))),
        "mixed_6a": _reduction(320, V2_TO_B, repair_padding),
        "repeat_1": nn.Sequential(*(Residual(1088, *V2_B, attention=attention) for _ in range(20))),
        "mixed_7a": _reduction(1088, V2_TO_C, repair_padding),
        "repeat_2": nn.Sequential(*(Residual(2080, *V2_C, attention=attention) for _ in range(9))),
        "block8": last,
        "conv2d_7b": _branch(2080, [(1536, 1)]),
    }
    return initialised(Chain(steps))


def _conv(channels: int, width: int, kernel: Size, stride: int = 1, centred: bool = True) -> nn.Sequential:
    return conv_norm_act(channels, width, kernel, stride, padding=None if centred else 0, eps=1e-3)


def _stem(in_channels: int, repair_padding: bool) -> dict[str, nn.Module]:
    return {
        "conv2d_1a": _conv(in_channels, 32, 3, 2, repair_padding),
        "conv2d_2a": _conv(32, 32, 3, 1, repair_padding),
        "conv2d_2b": _conv(32, 64, 3),
        "maxpool_3a": max_pool(repair_padding=repair_padding),
        "conv2d_3b": _conv(64, 80, 1),
        "conv2d_4a": _conv(80, 192, 3, 1, repair_padding),
    }


def _branch(channels: int, layers: Layers, last_stride: int = 1, centred: bool = True) -> nn.Sequential:
    """Convolutions one after another; the last may halve the map, and then be centred or unpadded."""
    widths = [channels, *(width for width, _ in layers)]
    convs = [_conv(before, *layer) for before, layer in zip(widths, layers[:-1], strict=False)]
    last = _conv(widths[-2], *layers[-1], last_stride, centred)
    return nn.Sequential(*convs, last) if convs else last


def _reduction(channels: int, branches: list[Layers], repair_padding: bool) -> Branches:
    convs = [_branch(channels, layers, 2, repair_padding) for layers in branches]
    return Branches(*convs, max_pool(repair_padding=repair_padding))
