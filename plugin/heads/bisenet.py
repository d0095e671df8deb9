"""BiSeNet: a spatial path beside any backbone of this package, fused at stride 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..errors import InputError
from ..necks.blocks import Config, conv_block
from ..registry import MODELS

_STRIDES = (16, 32)


class SpatialPath(BaseModule):
    """Three convolutions of stride 2 and a pointwise one: an image to a map of stride 8 (sec. 3.1)."""

    def __init__(self, in_channels: int, channels: Sequence[int], blocks: dict[str, Any]) -> None:
        super().__init__()
        first, second, third, last = channels
        self.layer1 = conv_block(in_channels, first, 7, 2, **blocks)
        self.layer2 = conv_block(first, second, 3, 2, **blocks)
        self.layer3 = conv_block(second, third, 3, 2, **blocks)
        self.layer4 = conv_block(third, last, 1, 1, **blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class AttentionRefinement(BaseModule):
    """A 3x3 convolution times a gate read off its mean (sec. 3.2): ``in`` to ``out`` channels."""

    def __init__(self, in_channels: int, out_channels: int, blocks: dict[str, Any]) -> None:
        super().__init__()
        self.conv_layer = conv_block(in_channels, out_channels, 3, 1, **blocks)
        gate = conv_block(out_channels, out_channels, 1, 1, blocks["norm_cfg"])
        self.atten_conv_layer = nn.Sequential(nn.AdaptiveAvgPool2d(1), gate, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_layer(x)
        return x * self.atten_conv_layer(x)


class ContextPath(BaseModule):
    """A backbone's C4 and C5, refined and summed from coarse to fine, with C5's mean (sec. 3.2).

    ``forward(x, size)`` gives the map of stride 8, which has ``size`` cells, and that of stride 16.
    """

    def __init__(self, backbone: Any, channels: int, blocks: dict[str, Any]) -> None:
        super().__init__()
        self.backbone = backbone
        c4, c5 = backbone.out_channels
        self.arm16 = AttentionRefinement(c4, channels, blocks)
        self.arm32 = AttentionRefinement(c5, channels, blocks)
        self.conv_head32 = conv_block(channels, channels, 3, 1, **blocks)
        self.conv_head16 = conv_block(channels, channels, 3, 1, **blocks)
        self.gap_conv = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_block(c5, channels, 1, 1, **blocks))

    def forward(self, x: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        c4, c5 = self.backbone(x)
        coarse = self.arm32(c5) + self.gap_conv(c5)
        coarse = self.conv_head32(F.interpolate(coarse, size=c4.shape[-2:], mode="nearest"))
        fine = self.arm16(c4) + coarse
        return self.conv_head16(F.interpolate(fine, size=size, mode="nearest")), coarse


class FeatureFusion(BaseModule):
    """Joins two maps by a pointwise convolution and adds it times a gate (sec. 3.3)."""

    def __init__(self, in_channels: int, out_channels: int, blocks: dict[str, Any]) -> None:
        super().__init__()
        self.conv1 = conv_block(in_channels, out_channels, 1, 1, **blocks)
        gate = conv_block(out_channels, out_channels, 1, 1, **blocks)
        self.conv_atten = nn.Sequential(gate, nn.Sigmoid())

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        x = self.conv1(torch.cat([spatial, context], dim=1))
        return x + x * self.conv_atten(F.adaptive_avg_pool2d(x, 1))


class BiSeNet(BaseModule):
    """BiSeNet (V1, arXiv 1808.00897) around any backbone, as a backbone of mmseg.

    ``forward`` takes ``(N, in_channels, H, W)`` and returns the fused map of stride 8 with
    ``out_channels``, and the context path's maps of strides 8 and 16 with ``context_channels``, for the
    two auxiliary heads. Parameters have the names of mmseg's ``BiSeNetV1``; with ``resnet18`` inside
    they are the same, and so are the maps. mmseg's own takes backbones with 256 channels at C4 only.

    Deviation, as mmseg's: the fusion's gate has one convolution with normalisation, the paper two.

    Args:
        backbone_cfg: the context path's backbone, with ``out_strides=(16, 32)``;
            ``pair(name, neck=None, strides=(16, 32))["backbone"]`` writes it.
        in_channels: channels of the image.
        spatial_channels: of the spatial path's four convolutions.
        context_channels: of the context path.
        out_channels: of the fused map.
        norm_cfg: BN, SyncBN, GN or FrozenBN with its arguments.
        act_cfg: an activation of ``torch.nn`` with its arguments.
        init_cfg: as in mmengine; that of the backbone stands in ``backbone_cfg``.

    Attributes:
        out_channels: of each map.
        out_strides: of each map, in pixels.

    Raises:
        InputError: the backbone does not give the strides 16 and 32.
    """

    def __init__(
        self,
        backbone_cfg: Config,
        *,
        in_channels: int = 3,
        spatial_channels: Sequence[int] = (64, 64, 64, 128),
        context_channels: int = 128,
        out_channels: int = 256,
        norm_cfg: Config | None = None,
        act_cfg: Config | None = None,
        init_cfg: Config | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(spatial_channels) != 4:
            raise InputError(f"spatial_channels={tuple(spatial_channels)}: write four, as (64, 64, 64, 128).")
        act_cfg = act_cfg or dict(type="ReLU", inplace=True)  # what the norms give is nobody else's
        blocks = dict(norm_cfg=norm_cfg or dict(type="BN"), act_cfg=act_cfg)
        backbone = MODELS.build(dict(backbone_cfg))
        given = getattr(backbone, "out_strides", None)
        if given is None or tuple(given) != _STRIDES:
            raise InputError(
                f"BiSeNet's context path takes the maps of strides {_STRIDES}, but its backbone gives "
                f"{given or 'unknown strides'}: write out_strides={_STRIDES} in backbone_cfg, without "
                f"output_stride."
            )
        self.context_path = ContextPath(backbone, context_channels, blocks)
        self.spatial_path = SpatialPath(in_channels, spatial_channels, blocks)
        self.ffm = FeatureFusion(spatial_channels[-1] + context_channels, out_channels, blocks)
        self.out_channels = (out_channels, context_channels, context_channels)
        self.out_strides = (8, 8, 16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The fused map (N, out_channels, H/8, W/8) and the context's at strides 8 and 16, rounded up."""
        spatial = self.spatial_path(x)
        fine, coarse = self.context_path(x, spatial.shape[-2:])
        return self.ffm(spatial, fine), fine, coarse
