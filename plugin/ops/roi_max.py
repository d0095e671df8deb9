"""RoIAlign with the maximum of each bin's samples instead of their mean."""

from __future__ import annotations

import torch
from torch import Tensor

from .sampling import Samples, samples, segment_max

_CHUNK = 16  # boxes whose gradients are spread at once: bounds the memory


def pool(
    cells: Tensor, owner: Tensor, boxes: Tensor, bins: tuple[int, int], ratio: int, aligned: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The bins' maxima, and the row and column where each was found, all ``(R, *bins, C)``.

    A bin without samples gives 0, found nowhere: at (-2, -2), where the map has no weight.

    Args:
        cells: maps, ``(N, H, W, C)``.
        owner: the map of each box.
        boxes: ``(R, 4)``, x1 y1 x2 y2 in cells.
        ratio: samples along a bin's side, 0 as many as it has cells.
    """
    best = cells.new_zeros((len(boxes), *bins, cells.shape[3]))
    where_y, where_x = best.new_full(best.shape, -2.0), best.new_full(best.shape, -2.0)
    rows = samples(boxes[:, 1], boxes[:, 3], bins[0], cells.shape[1], ratio, aligned)
    columns = samples(boxes[:, 0], boxes[:, 2], bins[1], cells.shape[2], ratio, aligned)
    for box, own in enumerate(owner.tolist()):
        y, y_bins = _chosen(rows, box)
        x, x_bins = _chosen(columns, box)
        for row, members in enumerate(y_bins):
            taken = members[members < len(y.place)]
            if not len(taken) or not len(x.place):
                continue
            values = _read(cells[own], Samples(*(field[taken] for field in y)), x)
            over_rows, at = values.max(0)
            found, column = segment_max(over_rows, x_bins)
            best[box, row], where_x[box, row] = found, x.place[column]
            where_y[box, row] = y.place[taken][at.gather(0, column)]
    return best, where_y, where_x


def spread(grad_output: Tensor, argmax_y: Tensor, argmax_x: Tensor, index: Tensor, grad_map: Tensor) -> None:
    """Add to ``grad_map`` (C, H, W) each bin's gradient at the cells under its maximum.

    Args:
        grad_output, argmax_y, argmax_x: ``(R, C, *bins)``.
        index: the boxes of this map.
    """
    channels, height, width = grad_map.shape
    total = torch.zeros_like(grad_map, dtype=torch.promote_types(grad_map.dtype, torch.float32)).flatten(1)
    for part in index.split(_CHUNK):
        y, x, grad = (
            t[part].to(total.dtype).transpose(0, 1).flatten(1) for t in (argmax_y, argmax_x, grad_output)
        )
        for row, row_weight in _cells_at(y, height):
            for column, column_weight in _cells_at(x, width):
                total.scatter_add_(1, row * width + column, grad * row_weight * column_weight)
    grad_map.add_(total.view(channels, height, width))


def _chosen(points: Samples, box: int) -> tuple[Samples, Tensor]:
    """One box's samples that can win, and their indices by bin ``(bins, K)``, padded with their number.

    All blank samples read 0, so the first of a bin stands for all.
    """
    one = Samples(*(field[box] for field in points))
    wanted = one.live | (one.blank & (one.blank.cumsum(1) == 1))
    members = torch.where(wanted, wanted.flatten().cumsum(0).view(wanted.shape) - 1, int(wanted.sum()))
    width = max(int(wanted.sum(1).max()), 1) if wanted.numel() else 0
    listed = Samples._make([*(field[wanted] for field in one[:5]), one.total.expand(int(wanted.sum()))])
    return listed, members.sort(1).values[:, :width]


def _read(cells: Tensor, y: Samples, x: Samples) -> Tensor:
    """Bilinear samples ``(rows, columns, C)``; 0 where blank."""
    columns = _lerp(cells.transpose(0, 1), x).transpose(0, 1)
    return _lerp(columns, y)


def _lerp(lines: Tensor, points: Samples) -> Tensor:
    right, live = (field.view(-1, *[1] * (lines.dim() - 1)) for field in (points.right, points.live))
    after = (points.cell + 1).clamp(max=len(lines) - 1)
    return torch.where(live, lines[points.cell] * (1 - right) + lines[after] * right, 0)


def _cells_at(place: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """The two cells that a sample at ``place`` reads, each with its weight: 0 outside the map."""
    inside = (place >= -1) & (place <= size)
    centre = place.clamp(0, size - 1)
    cell = centre.floor().clamp(max=max(size - 2, 0))
    right = centre - cell
    first = cell.long()
    return [(first, (1 - right) * inside), ((first + 1).clamp(max=size - 1), right * inside)]
