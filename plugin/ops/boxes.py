"""Overlap of boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import wide


def bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int
) -> None:
    """Fill ``ious`` with intersection over union (``mode`` 0) or over the first box (``mode`` 1).

    Args:
        bboxes1: ``(M, 4)``, x1 y1 x2 y2 in pixels.
        bboxes2: ``(N, 4)``; N = M if ``aligned``.
        ious: ``(M,)`` if ``aligned``, else ``(M, N)``.
        offset: 0, or 1 where a box holds its last pixel.
    """
    one, two = wide(bboxes1), wide(bboxes2)
    if not aligned:
        one, two = one[:, None], two[None]
    sides = torch.minimum(one[..., 2:], two[..., 2:]) - torch.maximum(one[..., :2], two[..., :2]) + offset
    inter = sides.clamp(min=0).prod(-1)
    base = (one[..., 2:] - one[..., :2] + offset).prod(-1)
    if mode == 0:
        base = base + (two[..., 2:] - two[..., :2] + offset).prod(-1) - inter
    ious.copy_(inter / base.clamp(min=offset))
