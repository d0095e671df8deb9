"""U-Net++: a decoder of nested, dense skips, with deep supervision and pruning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from ..errors import InputError
from ..necks.blocks import Config, conv_block
from .maps import picked, several


class UNetPlusPlusHead(BaseDecodeHead):
    """U-Net++ (arXiv 1807.10165) over a backbone's maps, as a decode head of mmseg.

    Takes L maps X(0,0) .. X(L-1,0) of ``in_channels``, fine to coarse, usually C1..C5. Node X(i,j),
    j > 0, is two 3x3 convolutions on X(i,0) .. X(i,j-1) and on X(i+1,j-1), up-sampled (sec. 3.1).
    Nodes of row i have ``in_channels[i]`` channels; those that nothing of the row reads any more,
    X(L-2,1) .. X(0,L-1), have ``decoder_channels``. A backbone without stride 2 gives C2..C5: one row
    less. The finest node may be followed by two more convolutions at twice its size.

    Deep supervision (sec. 3.2) puts a classifier on X(0,1) .. X(0,L-1). Their losses are averaged;
    at inference their probabilities are (the paper's accurate mode), and ``forward`` gives the
    logarithm of the mean, whose softmax (sigmoid with one channel) is that mean. ``prune=d`` takes
    X(0,d) alone (fast mode, U-Net++ L^d) and computes nothing that it does not need.

    Deviations: batch normalisation after each convolution and no drop-out inside, as in later code;
    nearest neighbours instead of a transposed convolution for up-sampling. Widths, nodes and
    parameters are then those of segmentation_models_pytorch's UnetPlusPlus decoder.

    Args:
        in_channels: channels of each map, of 2 maps or more.
        decoder_channels: channels of X(L-2,1) .. X(0,L-1), coarse to fine; with one entry more also
            of the convolutions at twice the finest map's size.
        deep_supervision: whether X(0,1) .. X(0,L-2) have classifiers too.
        prune: at inference, the depth 1 .. L-1 of the one branch to use; None for the mean of all.
        head_kernel_size: window of the classifiers, 1 in the paper.
        norm_cfg: BN, SyncBN, GN or FrozenBN with its arguments.
        in_index: which maps of the backbone, all by default.
        dropout_ratio: before the classifiers.
        **kwargs: as mmseg's ``BaseDecodeHead``: ``num_classes``, ``loss_decode``, ``sampler`` ...

    Raises:
        InputError: widths, a depth or, in ``forward``, maps that do not fit.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
        *,
        deep_supervision: bool = False,
        prune: int | None = None,
        head_kernel_size: int = 1,
        norm_cfg: Config | None = None,
        act_cfg: Config | None = None,
        in_index: Sequence[int] | None = None,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        maps = several(in_channels, in_index, least=2)
        depth = len(maps["in_channels"]) - 1
        _check(decoder_channels, depth, deep_supervision, prune, head_kernel_size)
        norm_cfg, act_cfg = norm_cfg or dict(type="BN"), act_cfg or dict(type="ReLU")
        settings = dict(norm_cfg=norm_cfg, act_cfg=act_cfg, dropout_ratio=dropout_ratio)
        super().__init__(channels=decoder_channels[-1], **settings, **maps, **kwargs)
        self.depth, self.prune = depth, prune
        width = {(row, 0): channels for row, channels in enumerate(self.in_channels)}
        self.nodes = nn.ModuleDict()
        for column in range(1, depth + 1):
            for row in range(depth + 1 - column):
                last = row + column == depth
                width[row, column] = decoder_channels[column - 1] if last else self.in_channels[row]
                taken = width[row + 1, column - 1] + column * self.in_channels[row]
                self.nodes[f"{row}_{column}"] = _unit(taken, width[row, column], norm_cfg, act_cfg)
        self.enlarged = None
        if len(decoder_channels) > depth:
            self.enlarged = _unit(decoder_channels[-2], decoder_channels[-1], norm_cfg, act_cfg)
        self.classifiers = nn.ModuleDict()  # of X(0,1) .. X(0,L-2); conv_seg is that of X(0,L-1)
        pad = head_kernel_size // 2
        self.conv_seg = nn.Conv2d(self.channels, self.out_channels, head_kernel_size, padding=pad)
        for column in range(1, depth if deep_supervision else 1):
            conv = nn.Conv2d(width[0, column], self.out_channels, head_kernel_size, padding=pad)
            self.classifiers[str(column)] = conv

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits ``(N, num_classes, H, W)``, at the finest map's size or twice that."""
        if self.prune is not None:
            return self.branches(inputs, [self.prune])[0]
        logits = self.branches(inputs)
        return logits[0] if len(logits) == 1 else mean_of_probabilities(logits)

    def branches(self, inputs: Sequence[Tensor], columns: Sequence[int] | None = None) -> list[Tensor]:
        """Logits of the branches X(0,column), all that have a classifier by default."""
        columns = [*map(int, self.classifiers), self.depth] if columns is None else columns
        top = self._top_row(picked(self, inputs), max(columns))
        return [self._classified(top[column], column) for column in columns]

    def loss(
        self, inputs: Sequence[Tensor], batch_data_samples: list[Any], train_cfg: Any
    ) -> dict[str, Tensor]:
        """As ``BaseDecodeHead.loss``; with deep supervision the mean over the branches."""
        losses = [self.loss_by_feat(logits, batch_data_samples) for logits in self.branches(inputs)]
        return {key: torch.stack([each[key] for each in losses]).mean(dim=0) for key in losses[0]}

    def _top_row(self, maps: list[Tensor], columns: int) -> list[Tensor]:
        """X(0,0) .. X(0,columns), from the rows 0 .. columns alone."""
        rows = [[x] for x in maps[: columns + 1]]
        for column in range(1, columns + 1):
            for row in range(columns + 1 - column):
                size = rows[row][0].shape[-2:]
                coarse = F.interpolate(rows[row + 1][column - 1], size=size, mode="nearest")
                node = self.nodes[f"{row}_{column}"]
                rows[row].append(node(torch.cat([coarse, *reversed(rows[row])], dim=1)))
        return rows[0]

    def _classified(self, x: Tensor, column: int) -> Tensor:
        if column == self.depth:
            if self.enlarged is not None:
                x = self.enlarged(F.interpolate(x, scale_factor=2.0, mode="nearest"))
            return self.cls_seg(x)
        return self.classifiers[str(column)](x if self.dropout is None else self.dropout(x))


def _unit(taken: int, width: int, norm_cfg: Config, act_cfg: Config) -> nn.Sequential:
    first = conv_block(taken, width, 3, 1, norm_cfg, act_cfg)
    return nn.Sequential(first, conv_block(width, width, 3, 1, norm_cfg, act_cfg))


def _check(
    decoder_channels: Sequence[int], depth: int, deep_supervision: bool, prune: int | None, kernel: int
) -> None:
    if len(decoder_channels) not in (depth, depth + 1):
        raise InputError(
            f"decoder_channels={tuple(decoder_channels)}: {depth + 1} maps arrive, so write {depth} widths, "
            f"coarse to fine, or {depth + 1} with convolutions at twice the finest map's size."
        )
    if prune is not None and prune not in range(1 if deep_supervision else depth, depth + 1):
        hint = "" if deep_supervision else " Other depths need deep_supervision=True, in training too."
        raise InputError(
            f"prune={prune}: the branch X(0,{prune}) has no classifier; the last is {depth}.{hint}"
        )
    if kernel % 2 == 0:
        raise InputError(f"head_kernel_size={kernel} must be odd, as 1 (the paper) or 3.")


def mean_of_probabilities(logits: Sequence[Tensor]) -> Tensor:
    """Logits of the mean of the branches' probabilities, brought to the size of the last branch.

    Args:
        logits: one ``(N, C, H_k, W_k)`` per branch; C = 1 means a sigmoid, else a softmax over C.
    """
    size = logits[-1].shape[-2:]
    same = torch.stack([F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in logits])
    if same.shape[2] == 1:
        on, off = (F.logsigmoid(sign * same).logsumexp(dim=0) for sign in (1, -1))
        return on - off
    return F.log_softmax(same, dim=2).logsumexp(dim=0) - math.log(len(logits))
