"""Residual attention networks (arXiv 1704.06904), as the released definitions have them."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .chain import Chain
from .layers import DAMPING, conv_norm_act, initialised, max_pool


class Unit(nn.Module):
    """A pre-activation bottleneck; where the shape changes, the shortcut reads the activated map."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.pre = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.branch = nn.Sequential(
            conv_norm_act(channels, width // 4, 1), conv_norm_act(width // 4, width // 4, 3, stride)
        )
        self.last = nn.Conv2d(width // 4, width, 1, bias=False)
        same = channels == width and stride == 1
        self.shortcut = None if same else nn.Conv2d(channels, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, width, ceil(H / stride), ceil(W / stride))."""
        active = self.pre(x)
        return (x if self.shortcut is None else self.shortcut(active)) + self.last(self.branch(active))


class Sum(nn.Module):
    """Two branches on one map, added."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, same shape."""
        return self.left(x) + self.right(x)


class Hourglass(nn.Sequential):
    """Half the map, the modules, and back to the map's own size, odd sizes included.

    Windows that begin at the cell's own corner and interpolation between cell centres keep the coarse
    maps over the fine ones; the released networks align corners instead.
    """

    def __init__(self, *modules: nn.Module, align_corners: bool) -> None:
        super().__init__(nn.MaxPool2d(3, 2, ceil_mode=True), *modules)
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), same shape."""
        coarse = super().forward(x)
        return F.interpolate(coarse, x.shape[-2:], mode="bilinear", align_corners=self.align_corners)


class Attention(nn.Module):
    """A trunk of three units, weighted by a mask from ``levels`` nested hourglasses."""

    def __init__(self, channels: int, levels: int, align_corners: bool) -> None:
        super().__init__()
        self.first = Unit(channels, channels)
        self.trunk = nn.Sequential(Unit(channels, channels), Unit(channels, channels))
        self.mask = nn.Sequential(
            _hourglass(channels, levels, align_corners),
            *(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1, bias=False)),
            *(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1, bias=False)),
            nn.Sigmoid(),
        )
        self.last = Unit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W), same shape."""
        x = self.first(x)
        return self.last(self.trunk(x) * (1 + self.mask(x)))


def _hourglass(channels: int, levels: int, align_corners: bool) -> Hourglass:
    unit = [Unit(channels, channels) for _ in range(2 if levels == 1 else 3)]
    if levels == 1:
        return Hourglass(*unit, align_corners=align_corners)
    inner = Sum(_hourglass(channels, levels - 1, align_corners), unit[1])
    return Hourglass(unit[0], inner, unit[2], align_corners=align_corners)


def residual_attention(
    *,
    in_channels: int = 3,
    modules: tuple[int, int, int] = (1, 1, 1),
    repair_padding: bool = True,
) -> Chain:
    """Attention-56 with (1, 1, 1) attention ``modules`` at strides 4, 8 and 16, Attention-92 with (1, 2, 3).

    It cannot be dilated: a mask is interpolated between the cells of coarser maps, which a dilated
    network computes at every cell instead, so the values differ.
    """
    steps: dict[str, nn.Module] = {
        "conv1": conv_norm_act(in_channels, 64, 7, 2),
        "pool1": max_pool(repair_padding=repair_padding, ceil_mode=True),
    }
    channels = 64
    for stage, (count, levels) in enumerate(zip(modules, (3, 2, 1), strict=True), start=1):
        width = 128 << stage
        steps[f"unit{stage}"] = Unit(channels, width, 1 if stage == 1 else 2)
        for index in range(1, count + 1):
            steps[f"attention{stage}_{index}"] = Attention(width, levels, not repair_padding)
        channels = width
    steps["stage4"] = nn.Sequential(Unit(1024, 2048, 2), Unit(2048, 2048), Unit(2048, 2048))
    steps["norm"] = nn.Sequential(nn.BatchNorm2d(2048), nn.ReLU())
    net = initialised(Chain(steps))
    for unit in net.modules():
        if isinstance(unit, Unit) and unit.shortcut is None:
            nn.init.normal_(unit.last.weight, std=DAMPING * (2 / unit.last.in_channels) ** 0.5)
    return net
