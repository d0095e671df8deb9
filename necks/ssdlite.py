"""SSDLite's extra levels behind the backbone's last map."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from ..errors import InputError
from ..registry import MODELS
from .blocks import Config, block, conv_block
from .checks import channel_list, check_maps

BATCH_NORM: Config = dict(type="BN", eps=1e-3, momentum=0.03)
RELU6: Config = dict(type="ReLU6")
INIT: Config = dict(type="Normal", layer="Conv2d", std=0.03)


@MODELS.register_module()
class SSDLiteNeck(BaseModule):
    """The maps of the backbone, and behind the last one ever coarser ones (arXiv 1801.04381, 6.2).

    Takes a tuple of maps of ``in_channels[i]`` channels and returns them as they are, followed by one
    map for each of ``extra_channels``, half the size of the one before, rounded up: 1x1 convolution to
    half its channels, 3x3 depthwise convolution of stride 2, 1x1 convolution, as torchvision has it.

    Args:
        in_channels: channels of each map that arrives.
        extra_channels: channels of each further map, even.
        norm_cfg: None, or a dict with ``type`` BN, SyncBN, GN, FrozenBN or LN and the layer's
            arguments; by default the original's batch norm.
        act_cfg: None, or a dict with ``type``, an activation of ``torch.nn``.
        init_cfg: as in mmengine; by default weights of standard deviation 0.03, as in torchvision.

    Attributes:
        out_channels: tuple, channels of each map that leaves.

    Raises:
        InputError: channels that are no even positive numbers, or, in ``forward``, maps that do not fit
            ``in_channels``.

    >>> neck = SSDLiteNeck([672, 480])
    >>> neck.out_channels
    (672, 480, 512, 256, 256, 128)
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        extra_channels: Sequence[int] = (512, 256, 256, 128),
        norm_cfg: Config | None = BATCH_NORM,
        act_cfg: Config | None = RELU6,
        init_cfg: Config | Sequence[Config] | None = INIT,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = channel_list(in_channels)
        if not all(isinstance(c, int) and c > 0 and c % 2 == 0 for c in extra_channels):
            raise InputError(
                f"extra_channels={tuple(extra_channels)}: write even numbers, as (512, 256, 256, 128)."
            )
        self.out_channels = (*self.in_channels, *extra_channels)
        widths = self.out_channels[len(self.in_channels) - 1 :]
        self.extra = nn.ModuleList(
            _extra_level(before, after, norm_cfg, act_cfg)
            for before, after in zip(widths, widths[1:], strict=False)
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of ``(N, in_channels[i], H_i, W_i)``, and one more for each of ``extra_channels``."""
        check_maps(self, inputs, self.in_channels)
        maps = list(inputs)
        for level in self.extra:
            maps.append(level(maps[-1]))
        return tuple(maps)


def _extra_level(
    in_channels: int, out_channels: int, norm_cfg: Config | None, act_cfg: Config | None
) -> nn.Sequential:
    half = out_channels // 2
    depthwise = nn.Conv2d(half, half, 3, stride=2, padding=1, groups=half, bias=norm_cfg is None)
    return nn.Sequential(
        conv_block(in_channels, half, 1, 1, norm_cfg, act_cfg),
        block(depthwise, half, norm_cfg, act_cfg),
        conv_block(half, out_channels, 1, 1, norm_cfg, act_cfg),
    )
