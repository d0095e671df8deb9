"""RoIPool (arXiv 1504.08083): the maximum of the cells that each bin touches.

mmcv's bins end at real numbers, rounded outwards, and a box holds its last pixel; torchvision rounds the
box first, so its operator gives other values. Seldom used, so written for clearness: a loop over boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import wide
from .sampling import segment_max

NOWHERE = -1


def roi_pool_forward(
    input: Tensor,  # noqa: A002 (mmcv's name)
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill ``output`` (R, C, pooled_height, pooled_width) and ``argmax``, the flat cell of each maximum.

    A bin without cells gives 0 and argmax -1, and so does a box without area.

    Args:
        input: ``(N, C, H, W)``.
        rois: ``(R, 5)``: image, x1, y1, x2, y2 in pixels, both ends inside.
        spatial_scale: cells per pixel.
    """
    height, width = input.shape[2:]
    begin, end = wide(rois[:, 1:3]) * spatial_scale, (wide(rois[:, 3:]) + 1) * spatial_scale
    columns = _edges(begin[:, 0], end[:, 0], pooled_width, width)
    rows = _edges(begin[:, 1], end[:, 1], pooled_height, height)
    output.zero_()
    argmax.fill_(NOWHERE)
    for box in (end > begin).all(1).nonzero()[:, 0].tolist():
        cells = wide(input[int(rois[box, 0])]).permute(1, 2, 0)
        members = _members(columns[box], width)
        for row, (y1, y2) in enumerate(rows[box].tolist()):
            if y2 <= y1:
                continue
            over_rows, at = cells[y1:y2].max(0)
            best, column = segment_max(over_rows, members)
            found = column < width
            column = column.clamp(max=width - 1)
            place = (y1 + at.gather(0, column)) * width + column
            output[box, :, row] = torch.where(found, best, 0).t().to(output.dtype)
            argmax[box, :, row] = torch.where(found, place, NOWHERE).t().to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add each bin's gradient to ``grad_input`` (N, C, H, W) at the cell of its maximum."""
    for image, target in enumerate(grad_input):
        mine = rois[:, 0].long() == image
        place = argmax[mine].long().transpose(0, 1).flatten(1)
        grad = grad_output[mine].transpose(0, 1).flatten(1)
        target.flatten(1).scatter_add_(1, place.clamp(min=0), torch.where(place == NOWHERE, 0, grad))


def _edges(begin: Tensor, end: Tensor, bins: int, size: int) -> Tensor:
    """First cell and one past the last of each bin, ``(R, bins, 2)``, within 0..size."""
    bin_size = ((end - begin) / bins)[:, None]
    order = torch.arange(bins, device=begin.device)
    first = (order * bin_size + begin[:, None]).floor()
    stop = ((order + 1) * bin_size + begin[:, None]).ceil()
    return torch.stack([first, stop], -1).clamp(0, size).long()


def _members(edges: Tensor, size: int) -> Tensor:
    """The cells of each bin, ``(bins, K)``, padded with ``size``."""
    longest = max(int((edges[:, 1] - edges[:, 0]).max()), 1)
    cells = edges[:, :1] + torch.arange(longest, device=edges.device)
    return cells.masked_fill(cells >= edges[:, 1:], size)
