"""SwiftNet's decoder for one image scale: spatial pyramid pooling and ladder up-sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from ..necks.blocks import Config, norm_layer
from .maps import picked, several


class BNReLUConv(nn.Sequential):
    """Normalisation, ReLU, convolution without bias: ``(N, in, H, W)`` to ``(N, out, H, W)``."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, norm_cfg: Config) -> None:
        name, norm = norm_layer(norm_cfg, in_channels)
        super().__init__()
        self.add_module(name, norm)
        self.add_module("activate", nn.ReLU(inplace=True))  # what the norm gives is nobody else's
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.add_module("conv", conv)


def averaging(cells: int, bins: int, like: Tensor) -> Tensor:
    """The matrix ``(bins, cells)`` that averages as ``adaptive_avg_pool`` does along one side.

    Bin i averages the cells from floor(i cells / bins) to ceil((i + 1) cells / bins), which is written
    without a division: that of whole numbers takes ONNX's Mod, which TensorRT 8 does not have.
    """
    cell = torch.arange(cells, device=like.device)
    bin_ = torch.arange(bins, device=like.device)[:, None]
    inside = (((cell + 1) * bins > bin_ * cells) & (cell * bins < (bin_ + 1) * cells)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


def pooled(x: Tensor, high: int, wide: int) -> Tensor:
    """``adaptive_avg_pool2d(x, (high, wide))`` by two matrix products.

    The pooling itself has no counterpart in ONNX where sizes do not divide or are dynamic.
    """
    rows, columns = averaging(x.shape[-2], high, x), averaging(x.shape[-1], wide, x)
    return rows @ x @ columns.T


class SpatialPyramidPooling(BaseModule):
    """Pyramid pooling of SwiftNet (arXiv 1903.08469, sec. 3.2): ``(N, in, H, W)`` to ``(N, out, H, W)``.

    Args:
        in_channels: channels that arrive.
        out_channels: channels that leave, and of the reduced map.
        level_channels: channels of each pooled level.
        grids: rows of each level's grid; its columns follow the map's aspect ratio.
        norm_cfg: as for :class:`SwiftNetHead`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        level_channels: int,
        grids: Sequence[int],
        norm_cfg: Config,
    ) -> None:
        super().__init__()
        self.grids = tuple(grids)
        self.reduce = BNReLUConv(in_channels, out_channels, 1, norm_cfg)
        self.levels = nn.ModuleList(BNReLUConv(out_channels, level_channels, 1, norm_cfg) for _ in grids)
        joined = out_channels + level_channels * len(self.grids)
        self.fuse = BNReLUConv(joined, out_channels, 1, norm_cfg)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        high, wide = x.shape[-2:]
        maps = [x]
        for rows, level in zip(self.grids, self.levels, strict=True):
            columns = cast(int, torch.sym_max(1, (2 * rows * wide + high) // (2 * high)))  # rounded
            grid = level(pooled(x, rows, columns))
            maps.append(F.interpolate(grid, size=(high, wide), mode="bilinear", align_corners=False))
        return self.fuse(torch.cat(maps, dim=1))


class UpStep(BaseModule):
    """One rung of the ladder: a coarse map comes to a finer one's size, is added to it and blended."""

    def __init__(self, skip_channels: int, channels: int, norm_cfg: Config) -> None:
        super().__init__()
        self.skip = BNReLUConv(skip_channels, channels, 1, norm_cfg)
        self.blend = BNReLUConv(channels, channels, 3, norm_cfg)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        fine = self.skip(fine)
        return self.blend(
            fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        )


class SwiftNetHead(BaseDecodeHead):
    """SwiftNet's decoder, single scale (arXiv 1903.08469, sec. 3), as a decode head of mmseg.

    Takes maps of ``in_channels``, fine to coarse; gives logits ``(N, num_classes, H, W)`` of the first
    map's size. The paper reads ResNet's maps before the last ReLU of each stage: the backbone
    ``type='mmbackbones.PreActivationBackbone'`` gives those; any other gives its maps as they are.

    Deviation: a pooling grid's columns, rows times width / height, are rounded half up, where the
    authors' Python rounds half to even; at an aspect ratio of 1 or 2 nothing is rounded.

    Args:
        in_channels: channels of each map, of 2 maps or more.
        channels: channels of the ladder.
        level_channels: channels of each level of the pyramid pooling.
        grids: rows of each level's grid.
        norm_cfg: normalisation of the ladder, BN, SyncBN, GN or FrozenBN with its arguments.
        spp_norm_cfg: normalisation of the pyramid pooling; ``norm_cfg`` by default. The authors have
            a momentum of 0.005 there.
        in_index: which maps of the backbone, all by default.
        dropout_ratio: before the classifier; the paper has none.
        **kwargs: as mmseg's ``BaseDecodeHead``: ``num_classes``, ``loss_decode``, ``sampler`` ...

    Raises:
        InputError: ``in_channels`` that do not fit, or, in ``forward``, maps that do not.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 128,
        *,
        level_channels: int = 42,
        grids: Sequence[int] = (8, 4, 2),
        norm_cfg: Config | None = None,
        spp_norm_cfg: Config | None = None,
        in_index: Sequence[int] | None = None,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        norm_cfg = norm_cfg or dict(type="BN")
        maps = several(in_channels, in_index, least=2)
        super().__init__(channels=channels, norm_cfg=norm_cfg, dropout_ratio=dropout_ratio, **maps, **kwargs)
        *skips, last = self.in_channels
        self.spp = SpatialPyramidPooling(last, channels, level_channels, grids, spp_norm_cfg or norm_cfg)
        self.ladder = nn.ModuleList(UpStep(skip, channels, norm_cfg) for skip in reversed(skips))
        _, self.last_norm = norm_layer(norm_cfg, channels)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits ``(N, num_classes, H, W)`` of the size of the finest map."""
        *skips, x = picked(self, inputs)
        x = self.spp(x)
        for step, skip in zip(self.ladder, reversed(skips), strict=True):
            x = step(x, skip)
        return self.cls_seg(F.relu(self.last_norm(x), inplace=True))
