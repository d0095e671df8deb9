"""EfficientDet's bidirectional pyramid; effdet's parameter names, so that its weights load."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn, ones

from ..errors import InputError
from ..registry import MODELS
from .blocks import Config, activation_layer, conv_block, norm_layer
from .checks import channel_list, check_halving, check_maps

# A node: the level it stands on, and its inputs as positions among the cell's maps and former nodes.
Node = tuple[int, tuple[int, ...]]

BATCH_NORM: Config = dict(type="BN", momentum=0.01, eps=1e-3)
SWISH: Config = dict(type="SiLU")


def fusion_nodes(levels: int) -> list[Node]:
    """The nodes of one cell over ``levels`` maps, in order of execution; the last ``levels`` leave.

    First coarse to fine, each level takes itself and the level above it. Then fine to coarse, each
    takes itself as it arrived, itself from the first path, and the finer level.

    >>> fusion_nodes(3)
    [(1, (1, 2)), (0, (0, 3)), (1, (1, 3, 4)), (2, (2, 5))]
    """
    known = [[level] for level in range(levels)]  # the maps of each level, oldest first
    nodes: list[Node] = []

    def add(level: int, inputs: list[int]) -> None:
        known[level].append(levels + len(nodes))
        nodes.append((level, tuple(inputs)))

    for level in range(levels - 2, -1, -1):
        add(level, [known[level][-1], known[level + 1][-1]])
    for level in range(1, levels):
        add(level, [*known[level], known[level - 1][-1]])
    return nodes


@MODELS.register_module()
class BiFPN(BaseModule):
    """Bidirectional feature pyramid of EfficientDet (arXiv 1911.09070).

    Takes a tuple of maps, fine to coarse, ``in_channels[i]`` channels each, every map half the size
    of the one before, rounded up. Returns ``num_outs`` maps of ``out_channels``: levels beyond the
    last map are made by a 1x1 convolution and max pooling 3x3 of stride 2.

    Each of ``num_repeats`` cells joins the maps from coarse to fine and back. A node is the sum of its
    inputs ``x_i``, brought to its size by nearest neighbours or max pooling, with learned weights
    ``w_i >= 0`` (fast normalised fusion: ``sum(w_i x_i) / (sum(w_i) + eps)``), then activation,
    depthwise 3x3 and pointwise convolution, and normalisation.

    Args:
        in_channels: channels of each map that arrives.
        out_channels: channels of each map that leaves; 64 in EfficientDet-D0.
        num_outs: number of maps that leave, at least 2 and at least as many as are used.
        num_repeats: number of cells; 3 in EfficientDet-D0.
        start_level: first map that is used.
        conv_bias: keep the biases that the paper's code has before each normalisation, which takes
            their effect away.
        norm_cfg: None, or a dict with ``type`` BN, SyncBN, GN, FrozenBN or LN and the layer's
            arguments; by default the paper's batch norm.
        act_cfg: None, or a dict with ``type``, an activation of ``torch.nn``; by default swish.
        eps: keeps the fusion from dividing by 0.
        init_cfg: as in mmengine.

    Raises:
        InputError: arguments that contradict each other, or, in ``forward``, maps that do not fit
            ``in_channels`` or do not halve from level to level.

    >>> neck = BiFPN([40, 112, 320], 64)
    >>> maps = [torch.rand(1, c, *size) for c, size in zip(neck.in_channels, [(33, 18), (17, 9), (9, 5)])]
    >>> [tuple(m.shape[2:]) for m in neck(maps)]
    [(33, 18), (17, 9), (9, 5), (5, 3), (3, 2)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int = 5,
        num_repeats: int = 3,
        start_level: int = 0,
        conv_bias: bool = True,
        norm_cfg: Config | None = BATCH_NORM,
        act_cfg: Config | None = SWISH,
        eps: float = 1e-4,
        init_cfg: Config | Sequence[Config] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="Caffe2Xavier", layer="Conv2d"))
        self.in_channels = channel_list(in_channels)
        used = self.in_channels[start_level:] if start_level >= 0 else []
        if not used:
            raise InputError(
                f"start_level={start_level}, but in_channels has {len(self.in_channels)} maps: "
                f"write 0 <= start_level <= {len(self.in_channels) - 1}."
            )
        if num_outs < max(2, len(used)):
            raise InputError(
                f"num_outs={num_outs}, but {len(used)} maps are joined: write num_outs={max(2, len(used))} "
                f"or more, or a later start_level."
            )
        if num_repeats < 1:
            raise InputError(f"num_repeats={num_repeats}: write 1 or more cells, 3 in EfficientDet-D0.")
        self.out_channels = out_channels
        self.num_outs, self.start_level = num_outs, start_level

        widths = used + [out_channels] * (num_outs - len(used))
        self.resample = nn.ModuleDict()
        if num_outs > len(used):
            self.resample[str(len(used))] = _entry(used[-1], out_channels, norm_cfg, conv_bias)
        layers = (out_channels, norm_cfg, act_cfg, conv_bias, eps)
        self.cell = nn.ModuleList([_Cell(widths, *layers)])
        self.cell.extend(_Cell([out_channels] * num_outs, *layers) for _ in range(num_repeats - 1))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn maps of shape ``(N, in_channels[i], H_i, W_i)`` into ``num_outs`` pyramid maps."""
        check_maps(self, inputs, self.in_channels)
        maps = list(inputs[self.start_level :])
        check_halving(self, maps)
        for entry in self.resample.values():
            maps.append(_pool(entry(maps[-1])))
        while len(maps) < self.num_outs:
            maps.append(_pool(maps[-1]))
        for cell in self.cell:
            maps = cell(maps)
        return tuple(maps)


class _Cell(nn.Module):
    """One pass from coarse to fine and back: as many maps leave as arrive."""

    def __init__(
        self,
        widths: list[int],
        out_channels: int,
        norm_cfg: Config | None,
        act_cfg: Config | None,
        conv_bias: bool,
        eps: float,
    ) -> None:
        super().__init__()
        self.nodes = fusion_nodes(len(widths))
        widths = widths + [out_channels] * len(self.nodes)
        self.fnode = nn.ModuleList()
        for _, inputs in self.nodes:
            entries = {i: _entry(widths[i], out_channels, norm_cfg, conv_bias) for i in inputs}
            conv = _separable_conv(out_channels, norm_cfg, act_cfg, conv_bias)
            self.fnode.append(_Node(_Fusion(entries, eps), conv))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        known = list(maps)
        for (level, inputs), node in zip(self.nodes, self.fnode, strict=True):
            known.append(node([known[i] for i in inputs], maps[level].shape[2:]))
        return known[-len(maps) :]


class _Node(nn.Module):
    """Fusion, then convolution."""

    def __init__(self, combine: nn.Module, after_combine: nn.Module) -> None:
        super().__init__()
        self.combine = combine
        self.after_combine = after_combine

    def forward(self, maps: list[Tensor], size: Sequence[int]) -> Tensor:
        return self.after_combine(self.combine(maps, size))


class _Fusion(nn.Module):
    """Fast normalised fusion of maps of one level and its neighbours, at the level's size."""

    def __init__(self, entries: Mapping[int, nn.Module], eps: float) -> None:
        super().__init__()
        self.edge_weights = nn.Parameter(ones(len(entries)))
        self.resample = nn.ModuleDict({str(i): entry for i, entry in entries.items()})
        self.eps = eps

    def forward(self, maps: list[Tensor], size: Sequence[int]) -> Tensor:
        weights = F.relu(self.edge_weights)
        weights = weights / (weights.sum() + self.eps)
        entered = [entry(x) for entry, x in zip(self.resample.values(), maps, strict=True)]
        return sum(w * _fit(x, size) for w, x in zip(weights, entered, strict=True))


def _entry(in_channels: int, out_channels: int, norm_cfg: Config | None, bias: bool) -> nn.Sequential:
    """1x1 convolution to the pyramid's channels; nothing where they fit already."""
    if in_channels == out_channels:
        return nn.Sequential()
    conv = conv_block(in_channels, out_channels, 1, 1, norm_cfg, bias=bias)
    return nn.Sequential(OrderedDict(conv=conv))


def _separable_conv(
    channels: int, norm_cfg: Config | None, act_cfg: Config | None, bias: bool
) -> nn.Sequential:
    conv: OrderedDict[str, nn.Module] = OrderedDict()
    conv["conv_dw"] = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    conv["conv_pw"] = nn.Conv2d(channels, channels, 1, bias=bias or norm_cfg is None)
    if norm_cfg is not None:
        name, norm = norm_layer(norm_cfg, channels)
        conv[name] = norm
    act = nn.Identity() if act_cfg is None else activation_layer(act_cfg)
    return nn.Sequential(OrderedDict(act=act, conv=nn.Sequential(conv)))


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


def _fit(x: Tensor, size: Sequence[int]) -> Tensor:
    """``x`` at ``size``, which is that of its level or of a neighbouring one."""
    arrived = tuple(x.shape[2:])
    if arrived == tuple(size):
        return x
    return _pool(x) if arrived > tuple(size) else F.interpolate(x, size=tuple(size), mode="nearest")
