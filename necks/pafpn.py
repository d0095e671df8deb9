"""Path aggregation network, weight for weight exchangeable with mmdet's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..registry import MODELS
from .blocks import conv_block
from .checks import check_halving
from .fpn import FPN


@MODELS.register_module()
class PAFPN(FPN):
    """Path aggregation network (arXiv 1803.01534): an FPN, then a second path from fine to coarse.

    Takes a tuple of maps, fine to coarse, ``in_channels[i]`` channels each, every map half the size
    of the one before, rounded up. Returns ``num_outs`` maps of ``out_channels``.

    Args:
        in_channels: channels of each map that arrives.
        out_channels: channels of each map that leaves.
        num_outs: number of maps that leave.
        **options: FPN's further arguments; ``norm_cfg`` and ``act_cfg`` hold for the second path too.

    Raises:
        InputError: as FPN, and maps that do not halve from level to level.

    >>> neck = PAFPN([64, 128, 256], 32, num_outs=4)
    >>> maps = [torch.rand(1, c, *size) for c, size in zip(neck.in_channels, [(9, 13), (5, 7), (3, 4)])]
    >>> [tuple(m.shape[2:]) for m in neck(maps)]
    [(9, 13), (5, 7), (3, 4), (2, 2)]
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, num_outs: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, num_outs, **options)
        layers = (options.get("norm_cfg"), options.get("act_cfg"))
        steps = range(len(self.lateral_convs) - 1)
        self.downsample_convs = nn.ModuleList(
            conv_block(out_channels, out_channels, 3, 2, *layers) for _ in steps
        )
        self.pafpn_convs = nn.ModuleList(conv_block(out_channels, out_channels, 3, 1, *layers) for _ in steps)

    def _top_down(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        check_halving(self, inputs[self.start_level : self.end_level + 1])
        return super()._top_down(inputs)

    def _outputs(self, laterals: list[Tensor]) -> list[Tensor]:
        maps = super()._outputs(laterals)
        for i, downsample in enumerate(self.downsample_convs):
            maps[i + 1] = maps[i + 1] + downsample(maps[i])
        return [maps[0], *(conv(x) for conv, x in zip(self.pafpn_convs, maps[1:], strict=True))]
