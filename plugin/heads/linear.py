"""The linear head of DINOv2: normalisation and one 1x1 convolution."""

from __future__ import annotations

from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from ..necks.blocks import Config, norm_layer


class LinearHead(BaseDecodeHead):
    """Batch normalisation and a linear classifier of each cell (arXiv 2304.07193, sec. 7.4).

    The probe that shows what a frozen backbone knows. Several maps (``in_channels`` a list, with
    ``in_index`` and ``input_transform='resize_concat'``) are brought to the first one's size and joined.

    Args:
        in_channels: channels of the map, or of each.
        norm_cfg: BN, SyncBN, GN or FrozenBN with its arguments.
        dropout_ratio: before the classifier; the paper has none.
        **kwargs: as mmseg's ``BaseDecodeHead``: ``num_classes``, ``in_index``, ``loss_decode`` ...
    """

    def __init__(
        self,
        in_channels: int | list[int],
        *,
        norm_cfg: Config | None = None,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        norm_cfg = norm_cfg or dict(type="BN")
        total = in_channels if isinstance(in_channels, int) else sum(in_channels)
        settings = dict(norm_cfg=norm_cfg, dropout_ratio=dropout_ratio)
        super().__init__(in_channels=in_channels, channels=total, **settings, **kwargs)
        _, self.norm = norm_layer(norm_cfg, total)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Logits ``(N, num_classes, H, W)`` of the size of the (first) map."""
        return self.cls_seg(self.norm(self._transform_inputs(inputs)))
