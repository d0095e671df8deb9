"""YOLOv4-tiny's neck of two levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from ..errors import InputError
from ..registry import MODELS
from .blocks import Config, conv_block
from .checks import channel_list, check_halving, check_maps

BATCH_NORM: Config = dict(type="BN")
LEAKY_RELU: Config = dict(type="LeakyReLU", negative_slope=0.1)


@MODELS.register_module()
class YOLOV4TinyNeck(BaseModule):
    """The neck of YOLOv4-tiny (arXiv 2011.08036, section 4.2; layers of the official definition).

    Takes C4 and C5. C5 is brought to ``mid_channels`` by a 1x1 convolution: that leaves at stride 32. By
    one more 1x1 convolution to half of them and nearest neighbours it comes to C4's size, and leaves
    joined with C4, in this order, at stride 16. Coarse to fine, as YOLO heads of mmdet take it.

    Args:
        in_channels: channels of C4 and of C5.
        mid_channels: channels of the map at stride 32.
        skip_channels: the last so many channels of C4 are joined, None for all. 256 of the 512 that
            ``cspdarknet53_tiny`` gives are the map that the original joins; the rest is the straight way
            past its last block.
        norm_cfg: None, or a dict with ``type`` BN, SyncBN, GN, FrozenBN or LN and the layer's arguments.
        act_cfg: None, or a dict with ``type``, an activation of ``torch.nn``.
        init_cfg: as in mmengine.

    Attributes:
        out_channels: tuple, channels of each map that leaves.

    Raises:
        InputError: not two maps, more ``skip_channels`` than C4 has, or, in ``forward``, maps that do not
            fit ``in_channels`` or do not halve.

    >>> neck = YOLOV4TinyNeck([512, 512], skip_channels=256)
    >>> [tuple(m.shape[1:]) for m in neck([torch.rand(1, 512, 7, 5), torch.rand(1, 512, 4, 3)])]
    [(256, 4, 3), (384, 7, 5)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        mid_channels: int = 256,
        skip_channels: int | None = None,
        norm_cfg: Config | None = BATCH_NORM,
        act_cfg: Config | None = LEAKY_RELU,
        init_cfg: Config | Sequence[Config] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = channel_list(in_channels)
        if len(self.in_channels) != 2:
            raise InputError(
                f"in_channels={self.in_channels}: YOLOV4TinyNeck takes two maps; ask the backbone for "
                f"out_strides=(16, 32)."
            )
        self.skip_channels = self.in_channels[0] if skip_channels is None else skip_channels
        if not 0 < self.skip_channels <= self.in_channels[0]:
            raise InputError(
                f"skip_channels={skip_channels}: C4 has {self.in_channels[0]} channels; write fewer, or "
                f"None for all."
            )
        half = mid_channels // 2
        self.out_channels = (mid_channels, half + self.skip_channels)
        self.reduce = conv_block(self.in_channels[1], mid_channels, 1, 1, norm_cfg, act_cfg)
        self.lateral = conv_block(mid_channels, half, 1, 1, norm_cfg, act_cfg)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps of ``(N, in_channels[i], H_i, W_i)`` to those at strides 32 and 16."""
        check_maps(self, inputs, self.in_channels)
        check_halving(self, inputs)
        fine, coarse = inputs
        coarse = self.reduce(coarse)
        up = F.interpolate(self.lateral(coarse), size=fine.shape[-2:], mode="nearest")
        return coarse, torch.cat([up, fine[:, -self.skip_channels :]], 1)
