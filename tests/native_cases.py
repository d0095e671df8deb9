"""Published or executed figures of the networks written here, and how to build one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mmbackbones.native.attention import GlobalGate


@dataclass(frozen=True)
class Case:
    """Published or executed figures of one network, as reference tables list them."""

    net: str
    channels: dict[int, int]
    params: int  # to the last tap, at three channels
    whole: int  # with the classifier below, at `channels_in`
    arguments: dict[str, Any] = field(default_factory=dict)
    channels_in: int = 3
    #: The classifier that the paper puts on the last map, which is left out here: cells in height and width
    #: that it reads, the widths of its linear layers, and whether they have biases.
    reads: int = 1
    widths: tuple[int, ...] = (1000,)
    bias: bool = True
    dilatable: bool = True
    size: int = 0  # where the original geometry has the cells below; 0: it is the repaired one
    cells: dict[str, int] = field(default_factory=dict)


CASES = {
    "lenet5": Case(
        "lenet.lenet5", {2: 6, 4: 16}, 2_872, 61_706, channels_in=1,
        reads=5, widths=(120, 84, 10), size=32,
        cells={"stage1": 14, "stage2": 5},
    ),
    "alexnet_original": Case(
        "alexnet.alexnet_original", {4: 96, 8: 256, 16: 256, 32: 256}, 2_334_080, 60_965_224,
        reads=6, widths=(4096, 4096, 1000), size=227,
        cells={"relu1": 55, "relu2": 27, "relu5": 13, "pool5": 6},
    ),
    "zfnet": Case(
        "zfnet.zfnet", {2: 96, 4: 96, 8: 256, 16: 256, 32: 256}, 3_726_464, 62_357_608,
        reads=6, widths=(4096, 4096, 1000), size=224,
        cells={"relu1": 110, "pool1": 55, "relu2": 26, "relu5": 13, "pool5": 6},
    ),
    "overfeat_fast": Case(
        "overfeat.overfeat_fast", {4: 96, 8: 256, 16: 1024, 32: 1024}, 15_987_584, 145_920_872,
        reads=6, widths=(3072, 4096, 1000), size=231,
        cells={"relu1": 56, "pool1": 28, "relu2": 24, "pool2": 12, "relu5": 12, "pool5": 6},
    ),
    "nin": Case(
        "nin.nin", {4: 96, 8: 256, 16: 384, 32: 1024}, 6_570_176, 7_595_176,
        size=224, cells={"conv1": 54, "pool1": 27, "pool2": 13, "pool3": 6, "cccp7": 6},
    ),
    "googlenet_original": Case(
        "googlenet.googlenet_original", {2: 64, 4: 192, 8: 480, 16: 832, 32: 1024}, 5_973_552, 6_998_552,
        size=224, cells={"conv1": 112, "conv2": 56, "inception3b": 28, "inception4e": 14, "inception5b": 7},
    ),
    "bn_inception": Case(
        "bn_inception.bn_inception", {2: 64, 4: 192, 8: 320, 16: 608, 32: 1024}, 10_270_240, 11_295_240,
        size=224, cells={"conv1": 112, "conv2": 56, "inception3b": 28, "inception4d": 14, "inception5b": 7},
    ),
    "se_bn_inception": Case(
        "bn_inception.bn_inception", {2: 64, 4: 192, 8: 320, 16: 608, 32: 1024}, 10_906_622, 11_931_622,
        arguments={"conv_bias": False, "attention": "se"},
    ),
    "inception_resnet_v1": Case(
        "inception_resnet.inception_resnet_v1", {2: 64, 4: 192, 8: 256, 16: 896, 32: 1792},
        20_963_328, 22_756_328, size=299,
        cells={"conv2d_2b": 147, "conv2d_4a": 71, "repeat": 35, "repeat_1": 17, "repeat_2": 8},
    ),
    "se_inception_resnet_v2": Case(
        "inception_resnet.se_inception_resnet_v2", {2: 64, 4: 192, 8: 320, 16: 1088, 32: 1536},
        62_850_444, 64_387_444, size=299,
        cells={"conv2d_2b": 147, "conv2d_4a": 71, "repeat": 35, "repeat_1": 17, "conv2d_7b": 8},
    ),
    "cbam_resnet50": Case(
        "attention_resnet.cbam_resnet50", {2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048}, 26_040_624, 28_089_624
    ),
    "attention56": Case(
        "residual_attention.residual_attention", {2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048},
        29_761_728, 31_810_728, dilatable=False, size=224,
        cells={"conv1": 112, "attention1_1": 56, "attention2_1": 28, "attention3_1": 14, "norm": 7},
    ),
    "mobilenetv1_025": Case(
        "mobilenetv1.mobilenetv1", {2: 16, 4: 32, 8: 64, 16: 128, 32: 256}, 213_072, 470_072,
        arguments={"width": 0.25},
    ),
    "shufflenet_v1_g3": Case(
        "shufflenet_v1.shufflenet_v1", {2: 24, 4: 24, 8: 240, 16: 480, 32: 960}, 904_728, 1_864_728,
        bias=False,
    ),
    "cspdarknet53_tiny": Case(
        "csp_darknet.cspdarknet53_tiny", {2: 32, 4: 128, 8: 256, 16: 512, 32: 512},
        3_629_728, 3_629_728 + 513 * 1000, size=416,
        cells={"conv1": 208, "block1": 104, "block2": 52, "block3": 26, "conv3": 13},
    ),
    "densenet264": Case(
        "densenet.densenet264", {2: 64, 4: 256, 8: 512, 16: 2304, 32: 2688}, 30_648_704, 33_337_704,
        size=224, cells={"features.norm0": 112, "features.denseblock4": 7},
    ),
}  # fmt: skip
NAMES = list(CASES)


def size_of(net: nn.Module) -> int:
    return sum(param.numel() for param in net.parameters())


def still_random(net: nn.Module) -> None:
    """Fixed random statistics for batch norms, and gates that read the whole map held open."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
        elif isinstance(module, GlobalGate):
            module.forward = lambda x: x
