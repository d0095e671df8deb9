"""Any set of maps, brought to the asked strides."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..errors import InputError
from ..registry import MODELS
from ..sources.cells import ceil_div, resample
from .blocks import Config, block, conv_block
from .checks import channel_list, check_maps

Size = tuple[int, int]


@MODELS.register_module()
class ToStrides(BaseModule):
    """Turns maps of ``in_strides`` into maps of ``out_strides``, each from the nearest map that arrives.

    Takes a tuple of maps, ``in_channels[i]`` channels and ``ceil(H / in_strides[i])`` rows each. Returns
    a tuple of one map for each of ``out_strides``, of ``ceil(H / stride)`` rows, likewise columns; cell
    ``i`` keeps its centre at pixel ``(i + 0.5) * stride``. A stride that arrives leaves as it came.

    The maps do not say the image's height H exactly. It is taken to be the largest that gives their
    sizes. So strides that are multiples of an arriving stride get exact sizes for every image; others
    do if H and W are multiples of the finest arriving stride.

    Args:
        in_channels: channels of each map that arrives.
        out_channels: channels of each map that leaves, by 1x1 convolutions where they differ; None
            keeps those of the map it comes from.
        in_strides: stride of each map that arrives in pixels.
        out_strides: stride of each map that leaves in pixels, in this order.
        learned: False: average pooling to coarser strides, bilinear interpolation to finer ones, no
            parameters. True: 3x3 convolutions of stride 2, transposed convolutions 2x2; the strides
            must then be powers of two of each other.
        sources: for each of ``out_strides`` the number of the map that it comes from, 0 the first that
            arrives; None takes the nearest by stride.
        norm_cfg: after each convolution: None, or a dict with ``type`` BN, SyncBN, GN, FrozenBN or LN
            and the layer's arguments.
        act_cfg: likewise: None, or a dict with ``type``, an activation of ``torch.nn``.
        init_cfg: as in mmengine.

    Attributes:
        out_channels: tuple, channels of each map that leaves.
        out_strides: tuple, stride of each map that leaves.

    Raises:
        InputError: arguments that contradict each other, or, in ``forward``, maps that do not fit
            ``in_channels``, or whose sizes belong to no one image.

    >>> neck = ToStrides([384], 256, in_strides=[14], out_strides=[8, 16, 32])
    >>> [tuple(m.shape[1:]) for m in neck([torch.rand(1, 384, 16, 17)])]  # from 224 x 238 pixels
    [(256, 28, 30), (256, 14, 15), (256, 7, 8)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int | None = None,
        in_strides: Sequence[int] = (4, 8, 16, 32),
        out_strides: Sequence[int] = (4, 8, 16, 32, 64),
        learned: bool = False,
        norm_cfg: Config | None = None,
        act_cfg: Config | None = None,
        sources: Sequence[int] | None = None,
        init_cfg: Config | Sequence[Config] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = channel_list(in_channels)
        self.in_strides, self.out_strides = tuple(in_strides), tuple(out_strides)
        self._check_strides(learned)
        self.learned = learned
        self.sources = self._checked(sources) or [self._nearest(stride) for stride in self.out_strides]
        self.out_channels = tuple(out_channels or self.in_channels[i] for i in self.sources)
        self.levels = nn.ModuleList(
            nn.Sequential(*_layers(self.in_channels[i], width, doublings, norm_cfg, act_cfg))
            for i, width, doublings in zip(self.sources, self.out_channels, self._doublings(), strict=True)
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn maps of shape ``(N, in_channels[i], H_i, W_i)`` into one map for each of out_strides."""
        check_maps(self, inputs, self.in_channels)
        image = self._image_size(inputs)
        outs = []
        for source, stride, level in zip(self.sources, self.out_strides, self.levels, strict=True):
            x, size = inputs[source], (ceil_div(image[0], stride), ceil_div(image[1], stride))
            if not self.learned:
                x = _pooled_or_resampled(x, self.in_strides[source], stride, size)
            outs.append(level(x)[..., : size[0], : size[1]])
        return tuple(outs)

    def _nearest(self, stride: int) -> int:
        """The map whose stride is the fewest octaves away; of equally near ones the finer, then the last."""
        octaves = [abs(log2(arriving / stride)) for arriving in self.in_strides]
        return min(range(len(octaves)), key=lambda i: (octaves[i], self.in_strides[i], -i))

    def _checked(self, sources: Sequence[int] | None) -> list[int]:
        arriving = range(len(self.in_channels))
        if sources is not None and (
            len(sources) != len(self.out_strides) or not all(source in arriving for source in sources)
        ):
            raise InputError(
                f"sources={tuple(sources)}: write for each of out_strides={self.out_strides} which of the "
                f"{len(arriving)} maps it comes from, 0 to {len(arriving) - 1}."
            )
        return list(sources or ())

    def _doublings(self) -> list[int]:
        """How often each learned level doubles its map; 0 if nothing is learned."""
        if not self.learned:
            return [0] * len(self.out_strides)
        pairs = zip(self.sources, self.out_strides, strict=True)
        return [round(log2(self.in_strides[i] / stride)) for i, stride in pairs]

    def _image_size(self, inputs: Sequence[Tensor]) -> Size:
        sizes = [tuple(x.shape[2:]) for x in inputs]
        pairs = list(zip(sizes, self.in_strides, strict=True))
        height, width = (min(size[axis] * stride for size, stride in pairs) for axis in (0, 1))
        if any(size != (ceil_div(height, stride), ceil_div(width, stride)) for size, stride in pairs):
            raise InputError(
                f"Maps of {sizes} cells arrive at in_strides={self.in_strides}, but no image has "
                f"ceil(side / stride) cells at all of them: write the backbone's strides in in_strides."
            )
        return height, width

    def _check_strides(self, learned: bool) -> None:
        for name, strides in (("in_strides", self.in_strides), ("out_strides", self.out_strides)):
            if not strides or not all(isinstance(s, int) and s > 0 for s in strides):
                raise InputError(f"{name}={strides}: write strides in pixels, as {name}=(8, 16, 32).")
        if len(self.in_strides) != len(self.in_channels):
            raise InputError(
                f"in_strides={self.in_strides}, but in_channels={self.in_channels} are "
                f"{len(self.in_channels)} maps: write one stride for each."
            )
        odd = [
            s for s in (*self.in_strides, *self.out_strides) if not log2(s / self.in_strides[0]).is_integer()
        ]
        if learned and odd:
            raise InputError(
                f"learned=True doubles or halves maps, but stride {odd[0]} is no power of two times "
                f"{self.in_strides[0]}: write learned=False."
            )


def _pooled_or_resampled(x: Tensor, stride: int, new_stride: int, size: Size) -> Tensor:
    """``x`` of ``stride`` at ``new_stride``, ``size`` cells or more: averages where cells are joined."""
    if new_stride % stride == 0:
        window = new_stride // stride
        return F.avg_pool2d(x, window, ceil_mode=True) if window > 1 else x
    return resample(x, stride, new_stride, size)


def _layers(
    in_channels: int, out_channels: int, doublings: int, norm_cfg: Config | None, act_cfg: Config | None
) -> list[nn.Module]:
    """Convolutions that double a map's size so often (halve it, if negative) and set its channels."""
    widths = [in_channels] + [out_channels] * abs(doublings)
    steps = list(zip(widths, widths[1:], strict=False))
    if doublings > 0:
        return [
            block(nn.ConvTranspose2d(a, b, 2, 2, bias=norm_cfg is None), b, norm_cfg, act_cfg)
            for a, b in steps
        ]
    if doublings < 0:
        return [conv_block(a, b, 3, 2, norm_cfg, act_cfg) for a, b in steps]
    return (
        []
        if in_channels == out_channels
        else [conv_block(in_channels, out_channels, 1, 1, norm_cfg, act_cfg)]
    )
