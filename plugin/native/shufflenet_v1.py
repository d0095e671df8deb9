"""ShuffleNet v1 (arXiv 1707.01083)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError
from .chain import Chain
from .layers import DAMPING, conv_norm_act, initialised

#: Channels of the first stage at width 1 by the number of groups; each later stage has twice as many.
CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
#: Channels of the stem by width, as the official networks have them.
STEMS = {0.5: 12, 1.0: 24, 1.5: 24, 2.0: 48}
UNITS = (4, 8, 4)


class Unit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1.

    With stride 1 the input is added; with stride 2 its mean over 3x3 cells is concatenated.
    """

    def __init__(self, channels: int, width: int, groups: int, first_groups: int) -> None:
        super().__init__()
        self.groups, self.halves = groups, channels != width
        hidden = width // 4
        stride, out = (2, width - channels) if self.halves else (1, width)
        self.reduce = conv_norm_act(channels, hidden, 1, groups=first_groups)
        self.depthwise = conv_norm_act(hidden, hidden, 3, stride, groups=hidden, act=None)
        self.expand = conv_norm_act(hidden, out, 1, groups=groups, act=None)
        self.shortcut = nn.AvgPool2d(3, 2, padding=1) if self.halves else nn.Identity()
        self.act = nn.ReLU()
        if not self.halves:
            nn.init.constant_(self.expand.get_parameter("bn.weight"), DAMPING)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, width, H, W), or half of H and W where the width grows."""
        y = self.reduce(x)
        shuffled = y.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
        y, short = self.expand(self.depthwise(shuffled)), self.shortcut(x)
        return torch.cat([short, self.act(y)], 1) if self.halves else self.act(short + y)


def shufflenet_v1(
    *,
    in_channels: int = 3,
    groups: int = 3,
    width: float = 1.0,
    repair_padding: bool = True,  # taken as by all builders; the paper's maps are exact already
) -> Chain:
    """ShuffleNet v1.

    Raises:
        InputError: ``groups`` or ``width`` is not among the paper's, or they do not go together.
    """
    if groups not in CHANNELS or width not in STEMS:
        raise InputError(
            f"groups={groups!r} and width={width!r}: allowed are groups {', '.join(map(str, CHANNELS))} "
            f"and widths {', '.join(map(str, STEMS))}."
        )
    first = round(CHANNELS[groups] * width)
    if first % (4 * groups):
        raise InputError(
            f"groups={groups} with width={width}: a quarter of {first} channels cannot be cut into {groups} "
            f"groups. Narrow networks come with groups 1, 3 or 8."
        )
    channels = 16 if (groups, width) == (8, 0.5) else STEMS[width]  # 12 cannot be cut into 8 groups
    steps: dict[str, nn.Module] = {
        "stem": conv_norm_act(in_channels, channels, 3, 2),
        "pool": nn.MaxPool2d(3, 2, padding=1),
    }
    for stage, count in enumerate(UNITS, start=2):
        out = first << (stage - 2)
        units: list[nn.Module] = []
        for _ in range(count):
            # The stem's few channels are not grouped.
            units.append(Unit(channels, out, groups, 1 if stage == 2 and not units else groups))
            channels = out
        steps[f"stage{stage}"] = nn.Sequential(*units)
    return initialised(Chain(steps))
