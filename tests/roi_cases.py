"""Boxes, maps and written-out definitions for the tests of RoI pooling."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

HEIGHT, WIDTH, SCALE = 13, 17, 0.25
EDGE_BOXES = [  # image, x1, y1, x2, y2 in pixels of a 68 x 52 image
    (0, 4.0, 6.0, 40.0, 30.0),
    (1, 0.0, 0.0, 68.0, 52.0),  # the whole image
    (0, 10.3, 7.7, 12.1, 9.9),  # less than a cell
    (1, -30.0, -20.0, 20.0, 15.0),  # over the corner
    (0, 50.0, 40.0, 120.0, 90.0),
    (0, 200.0, 10.0, 260.0, 40.0),  # beside the map
    (1, -300.0, -300.0, -200.0, -200.0),
    (0, 20.0, 20.0, 20.0, 20.0),  # empty
    (1, 20.0, 20.0, 20.0, 44.0),  # a line
    (0, 30.0, 30.0, 10.0, 10.0),  # inside out
    (1, -2000.0, 10.0, 3000.0, 20.0),  # far beyond both sides
    (0, -4.0, -4.0, 72.0, 56.0),  # samples exactly on the outer limits
]


def random_boxes(count: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=rng) * torch.tensor([80.0, 60.0]) - 10
    side = torch.rand(count, 2, generator=rng).square() * 60
    image = torch.randint(0, 2, (count, 1), generator=rng)
    return torch.cat([image, corner, corner + side], 1)


def boxes(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.cat([torch.tensor(EDGE_BOXES), random_boxes(20)]).to(dtype)


def feature_map(
    channels: int = 5, dtype: torch.dtype = torch.float32, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(2, channels, *size, generator=rng).to(dtype).requires_grad_()


def gradient(output: Tensor, x: Tensor) -> Tensor:
    rng = torch.Generator().manual_seed(2)
    weight = torch.randn(output.shape, generator=rng).to(output.dtype)
    return torch.autograd.grad(output, x, weight)[0]


def naive_roi_align(
    x: Tensor,
    rois: Tensor,
    bins: tuple[int, int],
    scale: float,
    ratio: int,
    aligned: bool,
    mode: str,
) -> Tensor:
    """RoIAlign from its definition, sample by sample."""
    shift = 0.5 if aligned else 0.0
    boxes_out = []
    for roi in rois:
        x1, y1, x2, y2 = (roi[1:] * scale - shift).tolist()
        sides = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1), max(x2 - x1, 1))
        grid = [ratio or max(math.ceil(side / n), 0) for side, n in zip(sides, bins, strict=True)]
        step = [side / n / max(g, 1) for side, n, g in zip(sides, bins, grid, strict=True)]
        cells = []
        for i, j in itertools.product(range(bins[0]), range(bins[1])):
            found = [
                bilinear(
                    x[int(roi[0])],
                    y1 + (i * grid[0] + a + 0.5) * step[0],
                    x1 + (j * grid[1] + b + 0.5) * step[1],
                )
                for a, b in itertools.product(range(grid[0]), range(grid[1]))
            ]
            values = torch.stack(found) if found else x.new_zeros(1, x.shape[1])
            cells.append(values.mean(0) if mode == "avg" else values.max(0).values)
        boxes_out.append(torch.stack(cells, 1).view(-1, *bins))
    return torch.stack(boxes_out)


def bilinear(cells: Tensor, y: float, x: float) -> Tensor:
    """One sample of ``cells`` (C, H, W); 0 more than a cell outside."""
    _, height, width = cells.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return cells[:, 0, 0] * 0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = cells[:, top, left] * (1 - x + left) + cells[:, top, right] * (x - left)
    lower = cells[:, bottom, left] * (1 - x + left) + cells[:, bottom, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


def naive_roi_pool(x: Tensor, rois: Tensor, bins: tuple[int, int], scale: float) -> Tensor:
    """RoIPool from mmcv's definition, bin by bin."""
    out = x.new_zeros(len(rois), x.shape[1], *bins)
    for n, roi in enumerate(rois):
        x1, y1 = (roi[1:3] * scale).tolist()
        x2, y2 = ((roi[3:] + 1) * scale).tolist()
        if x2 <= x1 or y2 <= y1:
            continue
        for i, j in itertools.product(range(bins[0]), range(bins[1])):
            top, bottom = (
                math.floor(i * ((y2 - y1) / bins[0]) + y1),
                math.ceil((i + 1) * ((y2 - y1) / bins[0]) + y1),
            )
            left, right = (
                math.floor(j * ((x2 - x1) / bins[1]) + x1),
                math.ceil((j + 1) * ((x2 - x1) / bins[1]) + x1),
            )
            window = x[int(roi[0]), :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
            if window.numel():
                out[n, :, i, j] = window.amax((1, 2))
    return out
