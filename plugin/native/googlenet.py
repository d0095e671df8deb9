"""GoogLeNet as its paper has it (arXiv 1409.4842): 5x5 branches, local response norm, no batch norm.

torchvision's has batch norm, and 3x3 where the paper has 5x5.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from ..errors import InputError
from .chain import Chain
from .layers import Branches, conv_norm_act, initialised, max_pool, pooled_linear

#: Of each Inception module: 1x1, 3x3 (reduced, full), 5x5 (reduced, full), behind the pool.
WIDTHS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
#: Modules that the auxiliary classifiers read.
AUXILIARY = ("inception4a", "inception4d")

_conv = partial(conv_norm_act, norm=False, bias=True)


class Logits(NamedTuple):
    """What a network with auxiliary classifiers returns while it trains, each (N, classes)."""

    logits: Tensor
    aux1: Tensor
    aux2: Tensor


class GoogLeNet(Chain):
    """The chain with the two auxiliary classifiers, which are only used in training."""

    def __init__(self, chain: Chain, aux1: nn.Module, aux2: nn.Module) -> None:
        children = dict(chain.named_children())
        super().__init__({step: children[step] for step in chain.steps}, children["classifier"])
        self.aux1, self.aux2 = aux1, aux2

    def forward(self, x: Tensor) -> Tensor | Logits:
        """Logits (N, classes); in training mode :class:`Logits`."""
        read = []
        for step in self.steps:
            x = self.get_submodule(step)(x)
            if step in AUXILIARY:
                read.append(x)
        logits = self.get_submodule("classifier")(x)
        return Logits(logits, self.aux1(read[0]), self.aux2(read[1])) if self.training else logits


def googlenet_original(
    *, in_channels: int = 3, num_classes: int = 0, aux_logits: bool = False, repair_padding: bool = True
) -> Chain:
    """GoogLeNet; ``aux_logits`` adds the classifiers on 4a and 4d. Without repair the size is 224.

    Raises:
        InputError: ``aux_logits`` without classes.
    """
    if aux_logits and not num_classes:
        raise InputError("aux_logits=True needs num_classes: the auxiliary classifiers are linear layers.")
    pool = partial(max_pool, repair_padding=repair_padding, ceil_mode=True)
    steps: dict[str, nn.Module] = {
        "conv1": _conv(in_channels, 64, 7, 2),
        "pool1": pool(),
        "norm1": nn.LocalResponseNorm(5),
        "conv2_reduce": _conv(64, 64, 1),
        "conv2": _conv(64, 192, 3),
        "norm2": nn.LocalResponseNorm(5),
        "pool2": pool(),
    }
    channels = 192
    for name, widths in WIDTHS.items():
        if name in ("4a", "5a"):
            steps[f"pool{int(name[0]) - 1}"] = pool()
        steps[f"inception{name}"] = _inception(channels, *widths)
        channels = _width(widths)
    net = Chain(steps, pooled_linear(channels, num_classes, dropout=0.4))
    if aux_logits:
        net = GoogLeNet(net, *(auxiliary(_width(WIDTHS[name[-2:]]), num_classes) for name in AUXILIARY))
    return initialised(net)


def _inception(
    channels: int, one: int, three_in: int, three: int, five_in: int, five: int, pool: int
) -> Branches:
    return Branches(
        _conv(channels, one, 1),
        nn.Sequential(_conv(channels, three_in, 1), _conv(three_in, three, 3)),
        nn.Sequential(_conv(channels, five_in, 1), _conv(five_in, five, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _conv(channels, pool, 1)),
    )


def _width(widths: tuple[int, ...]) -> int:
    """Channels of a module: its branches' last layers."""
    return widths[0] + widths[2] + widths[4] + widths[5]


def auxiliary(channels: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.AvgPool2d(5, 3),
        nn.AdaptiveAvgPool2d(4),  # 4x4 cells already at 224 pixels
        _conv(channels, 128, 1),
        nn.Flatten(),
        nn.Linear(128 * 16, 1024),
        nn.ReLU(),
        nn.Dropout(0.7),
        nn.Linear(1024, num_classes),
    )
