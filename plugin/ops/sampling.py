"""The sample points of RoI pooling along one axis, and the cells that they read.

A box is cut into bins, and in each bin samples are read on a regular grid, bilinearly. The grid is the
product of a grid of rows and one of columns, so everything here is one-dimensional.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Samples(NamedTuple):
    """Samples of R boxes along one axis: each field is ``(R, bins, K)``.

    A sample with centre ``place`` reads ``cell`` with weight ``1 - right`` and ``cell + 1`` with weight
    ``right``. It counts where it is ``live``; where it is ``blank`` it lies outside the map and reads 0.
    Of many blank samples of a bin at least one is listed.
    """

    place: Tensor
    cell: Tensor
    right: Tensor
    live: Tensor
    blank: Tensor
    total: Tensor  # (R,): all samples of a bin, listed or not


def samples(low: Tensor, high: Tensor, bins: int, size: int, ratio: int, aligned: bool) -> Samples:
    """The samples of boxes from ``low`` to ``high`` (R,), in cells of a map of ``size`` cells.

    Args:
        low, high: finite; R >= 1.
        ratio: samples in a bin; 0 takes as many as the bin has cells, rounded up.
        aligned: False makes a box at least one cell long, as RoIAlign did at first.
    """
    length = high - low if aligned else (high - low).clamp(min=1)
    bin_size = (length / bins)[:, None, None]
    count = bin_size.ceil().clamp(min=0) if ratio <= 0 else torch.full_like(bin_size, ratio)
    begin = low[:, None, None] + torch.arange(bins, device=low.device)[:, None] * bin_size

    # A box can reach far beyond the map: list no more samples than the map has places for.
    stride = bin_size / count.clamp(min=1)
    forward = stride > 0
    last_blank = ((-1 - begin) / stride - 0.5).ceil() - 1
    first = torch.where(forward, last_blank.minimum(count - 1).clamp(min=0), 0)
    room = torch.where(forward, torch.minimum(count, (size + 1) / stride + 3), count)
    listed = max(int(room.max()), 1)

    index = first + torch.arange(listed, device=low.device)
    place = begin + (index + 0.5) * bin_size / count.clamp(min=1)
    inside = (place >= -1) & (place <= size)
    centre = place.clamp(0, size - 1)
    cell = centre.floor().clamp(max=max(size - 2, 0))
    exists = index < count
    return Samples(
        place, cell.long(), centre - cell, exists & inside, exists & ~inside, count[:, 0, 0].clamp(min=1)
    )


def bin_weights(points: Samples, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The weight of each cell in the mean of each bin's samples.

    Returns:
        Weights ``(R, bins, E)`` of the E cells from ``first`` (R,), and ``stop`` (R,), one past the last
        cell with a weight; ``first == stop`` if no sample lies on the map.
    """
    live = points.live
    first = points.cell.masked_fill(~live, size).flatten(1).amin(1)
    stop = points.cell.masked_fill(~live, -2).flatten(1).amax(1).add(2).clamp(max=size)
    first = torch.minimum(first, stop)
    return _weights_from(points, first[:, None], max(int((stop - first).max()), 1)), first, stop


def bin_cells(points: Samples, size: int) -> tuple[Tensor, Tensor]:
    """The cells that each bin's samples read, and the weight of each in their mean, both ``(R, bins, K)``.

    A bin of fewer cells than K repeats its last one with weight 0.
    """
    live = points.live
    first = points.cell.masked_fill(~live, size - 1).amin(2)
    last = points.cell.masked_fill(~live, -1).amax(2).add(1).clamp(max=size - 1).maximum(first)
    count = int((last - first).max()) + 1
    cells = first[..., None] + torch.arange(count, device=first.device)
    return _weights_from(points, first, count), cells.minimum(last[..., None])


def _weights_from(points: Samples, first: Tensor, count: int) -> Tensor:
    """The weight of ``count`` cells from ``first`` (R, bins or 1) on in the mean of each bin's samples."""
    share = points.live / points.total[:, None, None]
    slot = (points.cell - first[..., None]).masked_fill(~points.live, 0)
    weights = share.new_zeros((*share.shape[:2], count + 1))  # one more for a weight of 0 past the map
    weights.scatter_add_(2, slot, (1 - points.right) * share)
    weights.scatter_add_(2, slot + 1, points.right * share)
    return weights[..., :count]


def segment_max(values: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum of groups of rows.

    Args:
        values: ``(L, C)``.
        members: rows of each group, ``(groups, K)``, padded with L.

    Returns:
        Maximum and its row, each ``(groups, C)``; minus infinity and L for an empty group.
    """
    bottom = values.new_full((1, values.shape[1]), -torch.inf)
    best, place = torch.cat([values, bottom])[members].max(1)
    row = members.gather(1, place)
    return best, torch.where(best == -torch.inf, len(values), row)
