"""Feature pyramid network, weight for weight exchangeable with mmdet's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..errors import InputError
from ..registry import MODELS
from .blocks import Config, conv_block
from .checks import channel_list, check_maps

_SOURCES = ("on_input", "on_lateral", "on_output")


@MODELS.register_module()
class FPN(BaseModule):
    """Feature pyramid network (arXiv 1612.03144), with RetinaNet's extra levels (arXiv 1708.02002).

    Takes a tuple of maps, fine to coarse, ``in_channels[i]`` channels each, every map half the size
    of the one before (odd sizes rounded either way). Returns ``num_outs`` maps of ``out_channels``.

    Args:
        in_channels: channels of each map that arrives.
        out_channels: channels of each map that leaves.
        num_outs: number of maps that leave. More than arrive need ``end_level=-1``.
        start_level: first map that is used.
        end_level: last map that is used, -1 for the last one.
        add_extra_convs: how levels beyond the last map are made. False: every second cell of the
            level before (max pooling of window 1). A source: by convolutions of stride 2, from the
            backbone's last map (``'on_input'``, or True), the last lateral or the last output.
        relu_before_extra_convs: put a ReLU between the extra convolutions.
        no_norm_on_lateral: leave the 1x1 convolutions without normalisation.
        norm_cfg: None, or a dict with ``type`` BN, SyncBN, GN, FrozenBN or LN and the layer's
            arguments.
        act_cfg: None, or a dict with ``type``, an activation of ``torch.nn``, and its arguments.
        upsample_cfg: arguments of ``torch.nn.functional.interpolate``. With ``scale_factor`` maps
            grow by it, else to the size of the finer map.
        init_cfg: as in mmengine.

    Raises:
        InputError: arguments that contradict each other, or, in ``forward``, maps that do not fit
            ``in_channels``.

    >>> neck = FPN([256, 512, 1024, 2048], 256, num_outs=5)
    >>> maps = [torch.rand(1, c, 64 // s, 96 // s) for c, s in zip(neck.in_channels, (1, 2, 4, 8))]
    >>> [tuple(m.shape[2:]) for m in neck(maps)]
    [(64, 96), (32, 48), (16, 24), (8, 12), (4, 6)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        start_level: int = 0,
        end_level: int = -1,
        add_extra_convs: bool | Literal["on_input", "on_lateral", "on_output"] = False,
        relu_before_extra_convs: bool = False,
        no_norm_on_lateral: bool = False,
        norm_cfg: Config | None = None,
        act_cfg: Config | None = None,
        upsample_cfg: Config | None = None,
        init_cfg: Config | Sequence[Config] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="Xavier", layer="Conv2d", distribution="uniform"))
        self.in_channels = channel_list(in_channels)
        last = len(self.in_channels) - 1
        end = last if end_level == -1 else end_level
        if not 0 <= start_level <= end <= last:
            raise InputError(
                f"start_level={start_level} and end_level={end_level} pick no maps: in_channels has "
                f"{last + 1}, so write 0 <= start_level <= end_level <= {last}, or end_level=-1."
            )
        used = end - start_level + 1
        if num_outs < used or (num_outs > used and end < last):
            allowed = f"{used}" if end < last else f"{used} or more"
            raise InputError(
                f"num_outs={num_outs}, but levels {start_level} to {end} give {used} maps: write "
                f"num_outs={allowed} (levels beyond the last map need end_level=-1)."
            )
        if add_extra_convs not in (False, True, *_SOURCES):
            raise InputError(f"add_extra_convs={add_extra_convs!r}: write False, True or one of {_SOURCES}.")
        self.out_channels = out_channels
        self.num_outs = num_outs
        self.start_level, self.end_level = start_level, end
        self.extra_source = "on_input" if add_extra_convs is True else add_extra_convs
        self.relu_before_extra_convs = relu_before_extra_convs
        self.upsample_cfg = dict(upsample_cfg or dict(mode="nearest"))

        lateral_norm = None if no_norm_on_lateral else norm_cfg
        self.lateral_convs = nn.ModuleList(
            conv_block(channels, out_channels, 1, 1, lateral_norm, act_cfg)
            for channels in self.in_channels[start_level : end + 1]
        )
        self.fpn_convs = nn.ModuleList(
            conv_block(out_channels, out_channels, 3, 1, norm_cfg, act_cfg) for _ in range(used)
        )
        for extra in range(num_outs - used if self.extra_source else 0):
            from_input = extra == 0 and self.extra_source == "on_input"
            channels = self.in_channels[end] if from_input else out_channels
            self.fpn_convs.append(conv_block(channels, out_channels, 3, 2, norm_cfg, act_cfg))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn maps of shape ``(N, in_channels[i], H_i, W_i)`` into ``num_outs`` pyramid maps."""
        check_maps(self, inputs, self.in_channels)
        laterals = self._top_down(inputs)
        return self._with_extra_levels(self._outputs(laterals), laterals, inputs)

    def _top_down(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        pairs = zip(self.lateral_convs, inputs[self.start_level :], strict=False)
        laterals = [conv(x) for conv, x in pairs]
        for i in range(len(laterals) - 1, 0, -1):
            laterals[i - 1] = laterals[i - 1] + self._upsample(laterals[i], laterals[i - 1])
        return laterals

    def _outputs(self, laterals: list[Tensor]) -> list[Tensor]:
        return [self.fpn_convs[level](x) for level, x in enumerate(laterals)]

    def _with_extra_levels(
        self, outs: list[Tensor], laterals: list[Tensor], inputs: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        if not self.extra_source:
            while len(outs) < self.num_outs:
                outs.append(F.max_pool2d(outs[-1], kernel_size=1, stride=2))
            return tuple(outs)
        sources = dict(on_input=inputs[self.end_level], on_lateral=laterals[-1], on_output=outs[-1])
        x = sources[self.extra_source]
        for i, conv in enumerate(self.fpn_convs[len(laterals) :]):
            x = conv(F.relu(x) if i and self.relu_before_extra_convs else x)
            outs.append(x)
        return tuple(outs)

    def _upsample(self, coarse: Tensor, fine: Tensor) -> Tensor:
        if "scale_factor" in self.upsample_cfg:
            return F.interpolate(coarse, **self.upsample_cfg)
        return F.interpolate(coarse, size=fine.shape[2:], **self.upsample_cfg)
