"""RoIAlign (arXiv 1703.06870) on the CPU as two matrix products per box; on CUDA, torchvision's.

The samples of a bin are a grid and bilinear weights are products, so a bin's mean is
``rows @ map @ columns^T`` with averaged weights (:mod:`.sampling`), exact for every grid. Only the
cells under the box enter. Channels are the fastest axis there, so that the products work on views of
the map. The gradient is the transposed products, added to the map under the box.

A box's products take microseconds, and sharing each among threads costs more than it saves (milliseconds
where the cores are busy), so they run on one thread, and are still several times faster than
torchvision's operator on two, whose backward is one thread too.

Extra memory: one map of one image, and buffers for :data:`CHUNK` boxes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.ops import roi_align as stock_roi_align

from ..errors import InputError
from . import roi_max
from .precision import wide
from .sampling import bin_weights, samples

MAX, MEAN = 0, 1
CHUNK = 128


def roi_align_forward(
    input: Tensor,  # noqa: A002 (mmcv's name)
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output`` (R, C, aligned_height, aligned_width).

    A box without samples (of size 0 with adaptive sampling) gives 0, a box that is not finite NaN.

    Args:
        input: ``(N, C, H, W)``.
        rois: ``(R, 5)``: image, x1, y1, x2, y2 in pixels.
        argmax_y, argmax_x: for the maximum, where it was found, in cells; shaped as ``output``.
        spatial_scale: cells per pixel.
        sampling_ratio: samples along a bin's side; 0 takes one per cell, rounded up.
        pool_mode: 0 for the maximum of a bin's samples, 1 for their mean.
        aligned: shift by half a cell, so that cell i is centred on i + 0.5.

    Raises:
        InputError: a box of an image that is not there.
    """
    bins = (aligned_height, aligned_width)
    if pool_mode == MEAN and input.device.type != "cpu":
        output.copy_(
            stock_roi_align(input, rois.to(input.dtype), bins, spatial_scale, sampling_ratio, aligned)
        )
        return
    targets = (output, argmax_y, argmax_x) if pool_mode == MAX else (output,)
    pool = roi_max.pool if pool_mode == MAX else _mean
    with _one_thread():
        for image, index, boxes in _by_image(rois, input, spatial_scale, aligned):
            cells = wide(input[image]).permute(1, 2, 0)
            if _covers_map(boxes, cells.shape):
                cells = cells.flatten(0, 1).contiguous().view(cells.shape)  # 3 times faster than in 3-D
            for part, box in zip(index.split(CHUNK), boxes.split(CHUNK), strict=True):
                found = pool(cells, box, bins, sampling_ratio, aligned)
                for target, value in zip(targets, found, strict=True):
                    target[part] = value.permute(0, 3, 1, 2).to(target.dtype)
    output[~_finite(rois)] = torch.nan


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``grad_input`` (N, C, H, W), given as zeros; the boxes get no gradient."""
    bins = (aligned_height, aligned_width)
    if pool_mode == MEAN and grad_output.device.type != "cpu":
        shape, geometry = grad_input.shape, (spatial_scale, *bins)
        stock = torch.ops.torchvision._roi_align_backward
        grad_input.copy_(
            stock(grad_output, rois.to(grad_output.dtype), *geometry, *shape, sampling_ratio, aligned)
        )
        return
    with _one_thread():
        for image, index, boxes in _by_image(rois, grad_input, spatial_scale, aligned):
            if pool_mode == MAX:
                roi_max.spread(grad_output, argmax_y, argmax_x, index, grad_input[image])
                continue
            target = grad_input[image].permute(1, 2, 0)
            total = target
            if target.dtype != wide(target).dtype or _covers_map(boxes, target.shape):
                total = wide(target.new_empty(0)).new_zeros(target.shape)
            for part, box in zip(index.split(CHUNK), boxes.split(CHUNK), strict=True):
                grad = wide(grad_output[part]).permute(0, 2, 3, 1).contiguous()
                _spread_mean(grad, box, total, sampling_ratio, aligned)
            if total is not target:
                grad_input[image].view(target.shape[2], -1).copy_(total.flatten(0, 1).t())


def _mean(cells: Tensor, boxes: Tensor, bins: tuple[int, int], ratio: int, aligned: bool) -> tuple[Tensor]:
    """The bins' means ``(R, *bins, C)`` over ``cells`` (H, W, C)."""
    height, width = bins
    pooled = cells.new_zeros((len(boxes), height, width * cells.shape[2]))
    for box, rows, columns, window in _products(boxes, bins, cells.shape, ratio, aligned):
        crop = cells[window]
        narrow = torch.bmm(columns.expand(len(crop), -1, -1), crop)
        torch.mm(rows, narrow.flatten(1), out=pooled[box])
    return (pooled.view(len(boxes), height, width, -1),)


def _spread_mean(grad: Tensor, boxes: Tensor, total: Tensor, ratio: int, aligned: bool) -> None:
    """Add the gradient of :func:`_mean`, given ``grad`` (R, *bins, C), to ``total`` (H, W, C)."""
    _, height, width, channels = grad.shape
    flat = total.is_contiguous()
    lines = total.view(len(total), -1) if flat else total
    for box, rows, columns, window in _products(boxes, (height, width), total.shape, ratio, aligned):
        wider = torch.bmm(columns.t().expand(height, -1, -1), grad[box]).flatten(1)
        if flat:
            y, x = window
            lines[y, x.start * channels : x.stop * channels].addmm_(rows.t(), wider)
        else:
            total[window] += torch.mm(rows.t(), wider).view(rows.shape[1], -1, channels)


def _products(
    boxes: Tensor, bins: tuple[int, int], shape: torch.Size, ratio: int, aligned: bool
) -> Iterator[tuple[int, Tensor, Tensor, tuple[slice, slice]]]:
    """For each box that meets the map: its index, its weights of rows and of columns, and their cells."""
    rows, top, bottom = bin_weights(
        samples(boxes[:, 1], boxes[:, 3], bins[0], shape[0], ratio, aligned), shape[0]
    )
    columns, left, right = bin_weights(
        samples(boxes[:, 0], boxes[:, 2], bins[1], shape[1], ratio, aligned), shape[1]
    )
    windows = torch.stack([top, bottom, left, right], 1).tolist()
    for box, (y1, y2, x1, x2) in enumerate(windows):
        if y1 < y2 and x1 < x2:
            window = (slice(y1, y2), slice(x1, x2))
            yield box, rows[box, :, : y2 - y1], columns[box, :, : x2 - x1], window


def _by_image(
    rois: Tensor, maps: Tensor, scale: float, aligned: bool
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """For each image with boxes: its index, the indices of its finite boxes, and these in cells (R, 4)."""
    images, owner = len(maps), rois[:, 0].long()
    if len(rois) and not 0 <= int(owner.min()) <= int(owner.max()) < images:
        raise InputError(
            f"rois name images {int(owner.min())}..{int(owner.max())}, but the batch has {images}. "
            f"The first column of rois must be the image's index, 0..{images - 1}."
        )
    finite = _finite(rois)
    boxes = rois[:, 1:].to(wide(maps.new_empty(0)).dtype) * scale - (0.5 if aligned else 0.0)
    for image in range(images):
        index = ((owner == image) & finite).nonzero()[:, 0]
        if len(index):
            yield image, index, boxes[index]


def _finite(rois: Tensor) -> Tensor:
    return (wide(rois[:, 3:]) - wide(rois[:, 1:3])).isfinite().all(1)


def _covers_map(boxes: Tensor, shape: torch.Size) -> bool:
    """Whether the boxes' cells are more than the map's, so that reordering the whole map pays."""
    size = boxes.new_tensor([shape[1], shape[0]])
    sides = boxes[:, 2:].clamp(min=0).minimum(size) - boxes[:, :2].clamp(min=0).minimum(size)
    return bool((sides + 2).prod(1).sum() > shape[0] * shape[1])


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
