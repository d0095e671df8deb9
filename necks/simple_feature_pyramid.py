"""ViTDet's pyramid from one map; detectron2's parameter names, so that its weights load."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..errors import InputError
from ..registry import MODELS
from .blocks import Config, norm_layer
from .checks import channel_list, check_maps

LAYER_NORM: Config = dict(type="LN")


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Simple feature pyramid of ViTDet (arXiv 2203.16527): all levels from one map.

    Takes a tuple of maps and uses the last one, of stride ``in_stride`` and ``h x w`` cells (ask the
    backbone for this one alone, as ``out_strides=(16,)``). Finer levels come by transposed
    convolutions 2x2, each of which halves the channels, coarser ones by max pooling; then a 1x1 and a
    3x3 convolution. Returns ``num_outs`` maps of ``out_channels`` and, at stride ``s``,
    ``ceil(h * in_stride / s) x ceil(w * in_stride / s)`` cells: the image is taken to fill all cells of
    the map, so sides that are multiples of ``in_stride`` give exactly ``ceil(side / s)``.

    Args:
        in_channels: channels of each map that arrives.
        out_channels: channels of each map that leaves.
        num_outs: number of maps that leave. Those beyond ``out_strides`` are every second cell of the
            level before (max pooling of window 1).
        in_stride: stride of the last map in pixels.
        out_strides: strides of the levels in pixels; ``in_stride`` times or by a power of two.
        norm_cfg: None, or a dict with ``type`` LN, BN, SyncBN, GN or FrozenBN and the layer's
            arguments; by default the paper's layer norm.
        init_cfg: as in mmengine; without it torch's initialisation, as in the paper's code.

    Raises:
        InputError: arguments that contradict each other, or, in ``forward``, maps that do not fit
            ``in_channels``.

    >>> neck = SimpleFeaturePyramid([768], 256)
    >>> [tuple(m.shape[2:]) for m in neck([torch.rand(1, 768, 5, 6)])]
    [(20, 24), (10, 12), (5, 6), (3, 3), (2, 2)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int = 5,
        in_stride: int = 16,
        out_strides: Sequence[int] = (4, 8, 16, 32),
        norm_cfg: Config | None = LAYER_NORM,
        init_cfg: Config | Sequence[Config] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = channel_list(in_channels)
        self.out_channels = out_channels
        self.num_outs, self.in_stride, self.out_strides = num_outs, in_stride, tuple(out_strides)
        self._check_strides()
        width = self.in_channels[-1]
        self.names = [f"simfp_{int(log2(stride))}" for stride in self.out_strides]
        for name, stride in zip(self.names, self.out_strides, strict=True):
            layers, channels = _scale(width, int(log2(in_stride) - log2(stride)), norm_cfg)
            layers.append(_ConvNorm(channels, out_channels, 1, norm_cfg))
            layers.append(_ConvNorm(out_channels, out_channels, 3, norm_cfg))
            self.add_module(name, nn.Sequential(*layers))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn the last map, ``(N, in_channels[-1], h, w)``, into ``num_outs`` pyramid maps."""
        check_maps(self, inputs, self.in_channels)
        outs = [getattr(self, name)(inputs[-1]) for name in self.names]
        while len(outs) < self.num_outs:
            outs.append(F.max_pool2d(outs[-1], kernel_size=1, stride=2))
        return tuple(outs)

    def _check_strides(self) -> None:
        strides = (self.in_stride, *self.out_strides)
        powers = all(isinstance(s, int) and s > 0 and s & (s - 1) == 0 for s in strides)
        if not powers or not self.out_strides or list(strides[1:]) != sorted(set(strides[1:])):
            raise InputError(
                f"in_stride={self.in_stride} and out_strides={self.out_strides}: write powers of two, fine "
                f"to coarse, as in_stride=16, out_strides=(4, 8, 16, 32)."
            )
        if self.num_outs < len(self.out_strides):
            raise InputError(
                f"num_outs={self.num_outs}, but out_strides={self.out_strides} are "
                f"{len(self.out_strides)} levels: write num_outs={len(self.out_strides)} or more, or fewer "
                f"out_strides."
            )
        if self.in_channels[-1] < max(1, self.in_stride // self.out_strides[0]):
            raise InputError(
                f"in_channels={self.in_channels}: {self.in_channels[-1]} channels cannot be halved down to "
                f"stride {self.out_strides[0]}. Write a coarser first level in out_strides."
            )


class _ConvNorm(nn.Conv2d):
    """Convolution with its normalisation inside: keys ``weight`` and ``norm.weight``."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, norm_cfg: Config | None
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=norm_cfg is None
        )
        self.norm = nn.Identity() if norm_cfg is None else norm_layer(norm_cfg, out_channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))


def _scale(channels: int, doublings: int, norm_cfg: Config | None) -> tuple[list[nn.Module], int]:
    """Layers that double a map's size so often (halve it, if negative), and the channels after them."""
    if doublings < 0:
        window = 2**-doublings
        return [nn.MaxPool2d(window, window, ceil_mode=True)], channels
    layers: list[nn.Module] = []
    for step in range(doublings):
        if step:
            layers += [] if norm_cfg is None else [norm_layer(norm_cfg, channels)[1]]
            layers.append(nn.GELU())
        layers.append(nn.ConvTranspose2d(channels, channels // 2, kernel_size=2, stride=2))
        channels //= 2
    return layers, channels
