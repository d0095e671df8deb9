"""BN-Inception, the network of the batch normalisation paper (arXiv 1502.03167)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from torch import nn

from .attention import make_attention
from .chain import Chain
from .layers import Branches, conv_norm_act, initialised, max_pool

Conv = Callable[..., nn.Sequential]

#: Of each module: 1x1, 3x3 (reduced, full), double 3x3 (reduced, full), behind the pool, kind of pool.
#: 3c and 4e halve the map, so they have no 1x1 branch and the pool's is bare.
WIDTHS = {
    "3a": (64, 64, 64, 64, 96, 32, "avg"),
    "3b": (64, 64, 96, 64, 96, 64, "avg"),
    "3c": (0, 128, 160, 64, 96, 0, "max"),
    "4a": (224, 64, 96, 96, 128, 128, "avg"),
    "4b": (192, 96, 128, 96, 128, 128, "avg"),
    "4c": (160, 128, 160, 128, 160, 128, "avg"),
    "4d": (96, 128, 192, 160, 192, 128, "avg"),
    "4e": (0, 128, 192, 192, 256, 0, "max"),
    "5a": (352, 192, 320, 160, 224, 128, "avg"),
    "5b": (352, 192, 320, 192, 224, 128, "max"),
}


def bn_inception(
    *,
    in_channels: int = 3,
    conv_bias: bool = True,
    attention: str | None = None,
    repair_padding: bool = True,
) -> Chain:
    """BN-Inception. Without repair the size is 224.

    Args:
        in_channels: Channels of the image.
        conv_bias: Whether convolutions keep the bias that batch norm makes idle, as the released
            weights do.
        attention: 'se', 'cbam' or 'eca' behind each module.
        repair_padding: Exact, centred maps.
    """
    conv = partial(conv_norm_act, bias=conv_bias)
    pool = partial(max_pool, repair_padding=repair_padding, ceil_mode=True)
    steps: dict[str, nn.Module] = {
        "conv1": conv(in_channels, 64, 7, 2),
        "pool1": pool(),
        "conv2_reduce": conv(64, 64, 1),
        "conv2": conv(64, 192, 3),
        "pool2": pool(),
    }
    channels = 192
    for name, (one, three_in, three, double_in, double, behind, kind) in WIDTHS.items():
        if one:
            block = _inception(conv, channels, one, three_in, three, double_in, double, behind, kind)
            channels = one + three + double + behind
        else:
            block = _reduction(conv, pool(), channels, three_in, three, double_in, double)
            channels += three + double
        if attention:
            gated = OrderedDict([("inception", block), (attention, make_attention(attention, channels))])
            steps[f"inception{name}"] = nn.Sequential(gated)
        else:
            steps[f"inception{name}"] = block
    return initialised(Chain(steps))


def _inception(
    conv: Conv,
    channels: int,
    one: int,
    three_in: int,
    three: int,
    double_in: int,
    double: int,
    behind: int,
    kind: str,
) -> nn.Module:
    pool = nn.AvgPool2d if kind == "avg" else nn.MaxPool2d
    return Branches(
        conv(channels, one, 1),
        nn.Sequential(conv(channels, three_in, 1), conv(three_in, three, 3)),
        nn.Sequential(conv(channels, double_in, 1), conv(double_in, double, 3), conv(double, double, 3)),
        nn.Sequential(pool(3, 1, padding=1), conv(channels, behind, 1)),
    )


def _reduction(
    conv: Conv, pool: nn.Module, channels: int, three_in: int, three: int, double_in: int, double: int
) -> nn.Module:
    return Branches(
        nn.Sequential(conv(channels, three_in, 1), conv(three_in, three, 3, 2)),
        nn.Sequential(conv(channels, double_in, 1), conv(double_in, double, 3), conv(double, double, 3, 2)),
        pool,
    )
