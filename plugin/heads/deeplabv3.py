"""DeepLabV3's head with a projection before its last convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import ASPPHead
from torch import Tensor, nn

from ..necks.blocks import Config


class DeepLabV3Head(ASPPHead):
    """Atrous spatial pyramid pooling (arXiv 1706.05587, sec. 3.3), as torchvision has it.

    mmseg's ``ASPPHead`` puts its branches through one 3x3 convolution. Here a 1x1 convolution projects them
    to ``channels`` first, with dropout; none stands before the classifier. The pooled branch is the last
    one, not the first.

    Args:
        in_channels: of the map that arrives.
        channels: of each branch and behind them.
        dilations: of the branches; 1 is a 1x1 convolution.
        dropout_ratio: behind the projection.
        norm_cfg: BN, SyncBN, GN or FrozenBN with its arguments.
        **kwargs: as mmseg's ``BaseDecodeHead``: ``num_classes``, ``in_index``, ``loss_decode`` ...
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        *,
        dilations: Sequence[int] = (1, 12, 24, 36),
        dropout_ratio: float = 0.5,
        norm_cfg: Config | None = None,
        **kwargs: Any,
    ) -> None:
        layers = dict(norm_cfg=norm_cfg or dict(type="BN"))
        sizes = dict(in_channels=in_channels, channels=channels)
        super().__init__(dilations=tuple(dilations), dropout_ratio=0, **sizes, **layers, **kwargs)
        joined = (len(self.dilations) + 1) * channels
        self.project = ConvModule(joined, channels, 1, act_cfg=self.act_cfg, **layers)
        self.project_dropout = nn.Dropout(dropout_ratio)
        self.bottleneck = ConvModule(channels, channels, 3, padding=1, act_cfg=self.act_cfg, **layers)

    def _forward_feature(self, inputs: Sequence[Tensor]) -> Tensor:
        """``(N, channels, H, W)`` of the map's size."""
        x = self._transform_inputs(inputs)
        branches = [*self.aspp_modules(x), self.image_pool(x).expand(-1, -1, *x.shape[-2:])]
        return self.bottleneck(self.project_dropout(self.project(torch.cat(branches, dim=1))))
