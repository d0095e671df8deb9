"""LR-ASPP: the light segmentation head of MobileNetV3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from ..necks.blocks import Config
from .maps import picked, several


class LRASPPHead(BaseDecodeHead):
    """LR-ASPP (arXiv 1905.02244, sec. 6.4), as torchvision has it, as a decode head of mmseg.

    The coarse map goes through a 1x1 convolution, is weighted by a gate that sees all of it, grows to the
    fine map's size and is classified; the classification of the fine map is added. mmseg's ``LRASPPHead``
    takes three maps, convolves the fine ones and pools windows of 49 x 49 cells.

    Args:
        in_channels: of the fine and of the coarse map.
        channels: of the coarse branch.
        norm_cfg: BN, SyncBN, GN or FrozenBN with its arguments.
        in_index: which two maps of the backbone, by default the only ones.
        dropout_ratio: before the classifier of the coarse branch; torchvision has none.
        **kwargs: as mmseg's ``BaseDecodeHead``: ``num_classes``, ``loss_decode``, ``sampler`` ...

    Raises:
        InputError: ``in_channels`` that do not fit, or, in ``forward``, maps that do not.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 128,
        *,
        norm_cfg: Config | None = None,
        in_index: Sequence[int] | None = None,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        norm_cfg = norm_cfg or dict(type="BN")
        maps = several(in_channels, in_index, least=2)
        super().__init__(channels=channels, norm_cfg=norm_cfg, dropout_ratio=dropout_ratio, **maps, **kwargs)
        fine, coarse = self.in_channels
        self.branch = ConvModule(coarse, channels, 1, norm_cfg=norm_cfg)
        self.gate = nn.Conv2d(coarse, channels, 1, bias=False)
        self.fine = nn.Conv2d(fine, self.num_classes, 1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits ``(N, num_classes, H, W)`` of the fine map's size."""
        fine, coarse = picked(self, inputs)
        x = self.branch(coarse) * self.gate(coarse.mean((2, 3), keepdim=True)).sigmoid()
        x = F.interpolate(x, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return self.fine(fine) + self.cls_seg(x)
