"""Non-maximum suppression: hard, soft (arXiv 1704.04503) and matched."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms as stock_nms

from .precision import wide

NAIVE, LINEAR, GAUSSIAN = range(3)
_TOGETHER = 256  # boxes


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that stay, by falling score.

    A box goes if its IoU with a kept box of higher score is above ``iou_threshold``. On the CPU torchvision
    compares each box with each, so boxes that a gap parts, as ``batched_nms`` parts classes and levels, are
    compared apart: the result is the same.

    Args:
        boxes: ``(N, 4)``, x1 y1 x2 y2.
        scores: ``(N,)``.
        offset: 0, or 1 where a box holds its last pixel, so that its width is x2 - x1 + 1.
    """
    boxes = wide(boxes)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    scores = wide(scores)
    few = len(boxes) < 2 * _TOGETHER
    if few or boxes.is_cuda or iou_threshold < 0:  # below 0 a box suppresses those that it does not meet
        return stock_nms(boxes, scores, iou_threshold)
    kept = [part[stock_nms(boxes[part], scores[part], iou_threshold)] for part in apart(boxes)]
    if len(kept) == 1:
        return kept[0]
    together = torch.cat(kept).sort().values
    return together[scores[together].sort(descending=True, stable=True).indices]


def apart(boxes: Tensor) -> list[Tensor]:
    """Indices of groups of boxes, rising in each, such that no box meets one of another group.

    Groups of fewer than :data:`_TOGETHER` boxes are joined: a call takes as long as comparing those.
    """
    left, order = boxes[:, 0].sort()
    gaps = (left[1:] > boxes[order, 2].cummax(0).values[:-1]).nonzero()[:, 0] + 1
    cuts = [0]
    for gap in gaps.tolist():
        if gap - cuts[-1] >= _TOGETHER:
            cuts.append(gap)
    sizes = [after - before for before, after in zip(cuts, [*cuts[1:], len(boxes)], strict=True)]
    return [part.sort().values for part in order.split(sizes)]


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Indices in the order in which the boxes were taken; ``dets`` gets boxes and lowered scores.

    The highest score is taken, the others are lowered by their IoU with it, and what falls below
    ``min_score`` is dropped: its place is taken by the last one, as in mmcv, which decides ties.

    Args:
        boxes: ``(N, 4)`` on the CPU.
        scores: ``(N,)``.
        dets: ``(N, 5)``; the first rows are filled, as many as indices are returned.
        sigma: of the Gaussian weight ``exp(-iou^2 / sigma)``.
        method: 0 zeroes what overlaps by ``iou_threshold`` or more, 1 multiplies it by ``1 - iou``,
            2 multiplies everything by the Gaussian weight.
    """
    box, score = (wide(t).detach().numpy().copy() for t in (boxes, scores))
    index = np.arange(len(boxes))
    done = 0
    while done < len(index):
        best = done + int(score[done:].argmax())
        for column in (box, score, index):
            column[[done, best]] = column[[best, done]]
        overlap = _iou(box[done], box[done + 1 :], offset)
        if method == GAUSSIAN:
            weight = np.exp(-(overlap**2) / sigma)
        else:
            weight = np.where(overlap >= iou_threshold, 1 - overlap if method == LINEAR else 0, 1)
        score[done + 1 :] *= weight.astype(score.dtype)
        done += 1
        order = np.concatenate([np.arange(done), done + _without(score[done:] < min_score)])
        box, score, index = box[order], score[order], index[order]
    taken = torch.from_numpy(np.concatenate([box, score[:, None]], axis=1))
    dets[:done] = taken.to(dets.dtype)
    return torch.from_numpy(index)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of indices: a kept box, then those it suppressed, by falling score.

    A box goes if its IoU with a kept box is ``iou_threshold`` or more.

    Args:
        dets: ``(N, 5)`` on the CPU, x1 y1 x2 y2 score.
    """
    box = wide(dets).detach().numpy()
    order = np.argsort(-box[:, 4], kind="stable")
    groups = []
    while len(order):
        first, rest = order[0], order[1:]
        near = _iou(box[first], box[rest, :4], 0) >= iou_threshold
        groups.append([int(first), *rest[near].tolist()])
        order = rest[~near]
    return groups


def _iou(one: np.ndarray, many: np.ndarray, offset: int) -> np.ndarray:
    """IoU of one box with each of ``many``; not a number where both are empty, which exceeds nothing."""
    sides = np.minimum(one[2:4], many[:, 2:4]) - np.maximum(one[:2], many[:, :2]) + offset
    inter = sides.clip(min=0).prod(1)
    areas = (many[:, 2:4] - many[:, :2] + offset).prod(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return inter / ((one[2:4] - one[:2] + offset).prod() + areas - inter)


def _without(drop: np.ndarray) -> np.ndarray:
    """The places that remain when each dropped one is filled by the last one that is left."""
    order, kept = np.arange(len(drop)), int((~drop).sum())
    holes = np.flatnonzero(drop[:kept])
    order[holes] = (kept + np.flatnonzero(~drop[kept:]))[::-1]
    return order[:kept]
