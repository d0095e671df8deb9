"""RoIAlign (arXiv 1703.06870) on the CPU as products with the maps; on CUDA, torchvision's.

The samples of a bin are a grid and bilinear weights are products, so a bin's mean is
``rows @ map @ columns^T`` with averaged weights (:mod:`.sampling`), exact for every grid. Channels are the
fastest axis there. Small boxes are pooled together: each bin is a weighted sum of a few cells, of all bins in
one call (torch's embedding bags). Of big boxes, and of maps in another order in memory, each is two matrix
products with the cells under it. The gradient is the transposed products, added to the map under the box.

The products take microseconds, and sharing each among threads costs more than it saves (milliseconds
where the cores are busy), so they run on one thread, and are still several times faster than
torchvision's operator on two, whose backward is one thread too.

Extra memory: maps of at most :data:`KEPT` bytes, or of one image, and buffers for :data:`CHUNK` boxes. Each
thread keeps the maps' memory for its next call: taking it anew costs as much as the products.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.ops import roi_align as stock_roi_align

from ..errors import InputError
from . import roi_max
from .one_thread import one_thread
from .precision import wide
from .sampling import bin_cells, bin_weights, samples

MAX, MEAN = 0, 1
CHUNK = 256
KEPT = 2**27
SMALL = 4  # cells along a bin's side, up to which boxes are pooled together


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

    A box without samples (of size 0 with adaptive sampling) gives 0, also as a maximum, where compiled
    mmcv gives its lowest number; a box that is not finite gives NaN.

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
    if pool_mode == MEAN and takes_stock(input):
        output.copy_(_stock(input, rois, bins, spatial_scale, sampling_ratio, aligned))
        return
    targets = (output, argmax_y, argmax_x) if pool_mode == MAX else (output,)
    pool = roi_max.pool if pool_mode == MAX else _mean
    with one_thread:
        for images, index, boxes in groups(rois, input, spatial_scale, aligned):
            cells, owner = _channels_last(input, images), _owner(rois, index, images)
            for part, own, box in zip(*(t.split(CHUNK) for t in (index, owner, boxes)), strict=True):
                found = pool(cells, own, box, bins, sampling_ratio, aligned)
                for target, value in zip(targets, found, strict=True):
                    target[part] = value.permute(0, 3, 1, 2).to(target.dtype)
    output[~_finite(rois)] = torch.nan


def takes_stock(tensor: Tensor) -> bool:
    """Whether the mean is torchvision's on this tensor's device: everywhere but on the CPU."""
    return tensor.device.type != "cpu"


def _stock(
    cells: Tensor, rois: Tensor, bins: tuple[int, int], scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """torchvision's operator, which has no kernels for bfloat16 on any device."""
    cells = wide(cells)
    return stock_roi_align(cells, rois.to(cells.dtype), bins, scale, sampling_ratio, aligned)


def _stock_backward(
    grad: Tensor,
    rois: Tensor,
    shape: Sequence[int],
    bins: tuple[int, int],
    scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    grad = wide(grad)
    operator = torch.ops.torchvision._roi_align_backward
    return operator(grad, rois.to(grad.dtype), scale, *bins, *shape, sampling_ratio, aligned)


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
    if pool_mode == MEAN and takes_stock(grad_output):
        shape = grad_input.shape
        grad_input.copy_(
            _stock_backward(grad_output, rois, shape, bins, spatial_scale, sampling_ratio, aligned)
        )
        return
    with one_thread:
        for images, index, boxes in groups(rois, grad_input, spatial_scale, aligned):
            if pool_mode == MAX:
                owner = _owner(rois, index, None)
                for own in owner.unique().tolist():
                    roi_max.spread(grad_output, argmax_y, argmax_x, index[owner == own], grad_input[own])
                continue
            owner, total = _owner(rois, index, images), grad_input.permute(0, 2, 3, 1)
            if images is not None:
                total = _scratch((len(images), *total.shape[1:]), boxes).zero_()
            for part, own, box in zip(*(t.split(CHUNK) for t in (index, owner, boxes)), strict=True):
                grad = wide(grad_output[part]).permute(0, 2, 3, 1).contiguous()
                _spread_mean(grad, own.tolist(), box, total, sampling_ratio, aligned)
            for place, image in enumerate([] if images is None else images.tolist()):
                grad_input[image].view(total.shape[3], -1).copy_(total[place].flatten(0, 1).t())


def _mean(
    cells: Tensor, owner: Tensor, boxes: Tensor, bins: tuple[int, int], ratio: int, aligned: bool
) -> tuple[Tensor]:
    """The bins' means ``(R, *bins, C)``; box r lies on map ``owner[r]`` of ``cells`` (N, H, W, C)."""
    height, width = bins
    small = (boxes[:, 2:] - boxes[:, :2] <= SMALL * boxes.new_tensor([width, height])).all(1)
    small &= cells.is_contiguous()
    sums = _mean_of_small(cells, owner[small], boxes[small], bins, ratio, aligned) if small.any() else None
    if sums is not None and small.all():
        return (sums.view(len(boxes), height, width, -1),)
    pooled = cells.new_zeros((len(boxes), height, width * cells.shape[3]))
    if sums is not None:
        pooled[small] = sums.view(-1, *pooled.shape[1:])
    rest = (~small).nonzero()[:, 0].tolist()
    if rest:
        owners = owner.tolist()
        for box, rows, columns, (y, x) in _products(boxes[rest], bins, cells.shape, ratio, aligned):
            crop = cells[owners[rest[box]], y, x]
            narrow = torch.bmm(columns.expand(len(crop), -1, -1), crop)
            torch.mm(rows, narrow.flatten(1), out=pooled[rest[box]])
    return (pooled.view(len(boxes), height, width, -1),)


def _mean_of_small(
    cells: Tensor, owner: Tensor, boxes: Tensor, bins: tuple[int, int], ratio: int, aligned: bool
) -> Tensor:
    """The same of small boxes on maps without gaps in memory, as ``(R * bins, C)``."""
    _, height, width, channels = cells.shape
    y_weights, y = bin_cells(samples(boxes[:, 1], boxes[:, 3], bins[0], height, ratio, aligned), height)
    x_weights, x = bin_cells(samples(boxes[:, 0], boxes[:, 2], bins[1], width, ratio, aligned), width)
    y = (y + owner[:, None, None] * height) * width
    weights = y_weights[:, :, None, :, None] * x_weights[:, None, :, None, :]
    places = y[:, :, None, :, None] + x[:, None, :, None, :]
    count = y.shape[2] * x.shape[2]
    return F.embedding_bag(
        places.view(-1, count),
        cells.view(-1, channels),
        mode="sum",
        per_sample_weights=weights.view(-1, count),
    )


def _spread_mean(
    grad: Tensor, owner: list[int], boxes: Tensor, total: Tensor, ratio: int, aligned: bool
) -> None:
    """Add the gradient of :func:`_mean`, given ``grad`` (R, *bins, C), to ``total`` (N, H, W, C)."""
    _, height, width, channels = grad.shape
    flat = total.is_contiguous()
    lines = total.view(*total.shape[:2], -1) if flat else total
    for box, rows, columns, (y, x) in _products(boxes, (height, width), total.shape, ratio, aligned):
        wider = torch.bmm(columns.t().expand(height, -1, -1), grad[box]).flatten(1)
        if flat:
            lines[owner[box], y, x.start * channels : x.stop * channels].addmm_(rows.t(), wider)
        else:
            total[owner[box], y, x] += torch.mm(rows.t(), wider).view(rows.shape[1], -1, channels)


def _products(
    boxes: Tensor, bins: tuple[int, int], shape: torch.Size, ratio: int, aligned: bool
) -> Iterator[tuple[int, Tensor, Tensor, tuple[slice, slice]]]:
    """For each box that meets the map: its index, its weights of rows and of columns, and their cells."""
    _, height, width, _ = shape
    rows, top, bottom = bin_weights(
        samples(boxes[:, 1], boxes[:, 3], bins[0], height, ratio, aligned), height
    )
    columns, left, right = bin_weights(
        samples(boxes[:, 0], boxes[:, 2], bins[1], width, ratio, aligned), width
    )
    windows = torch.stack([top, bottom, left, right], 1).tolist()
    for box, (y1, y2, x1, x2) in enumerate(windows):
        if y1 < y2 and x1 < x2:
            window = (slice(y1, y2), slice(x1, x2))
            yield box, rows[box, :, : y2 - y1], columns[box, :, : x2 - x1], window


def groups(
    rois: Tensor, maps: Tensor, scale: float, aligned: bool
) -> Iterator[tuple[Tensor | None, Tensor, Tensor]]:
    """Boxes to do together: their images or None, their indices, and the finite boxes in cells (R, 4).

    Maps of which boxes hold more cells than they have are named: reordering whole maps pays there, unless
    channels are the fastest axis already. So are all in half precision, since the sums are in float32. The
    rest comes as one.
    """
    count, owner = len(maps), rois[:, 0].long()
    if len(rois) and not 0 <= int(owner.min()) <= int(owner.max()) < count:
        raise InputError(
            f"rois name images {int(owner.min())}..{int(owner.max())}, but the batch has {count}. "
            f"The first column of rois must be the image's index, 0..{count - 1}."
        )
    dtype, finite = wide(maps.new_empty(0)).dtype, _finite(rois)
    boxes = rois[:, 1:].to(dtype) * scale - (0.5 if aligned else 0.0)
    size = boxes.new_tensor([maps.shape[3], maps.shape[2]])
    sides = boxes[:, 2:].clamp(min=0).minimum(size) - boxes[:, :2].clamp(min=0).minimum(size)
    held = boxes.new_zeros(count).index_add_(0, owner[finite], (sides + 2).prod(1)[finite])
    if dtype != maps.dtype:
        whole = held > 0
    else:
        whole = (held > size.prod()) & (not maps.permute(0, 2, 3, 1).is_contiguous())
    bytes_of_one = maps[:1].numel() * boxes.element_size()
    for images in whole.nonzero()[:, 0].split(max(1, KEPT // max(bytes_of_one, 1))):
        index = (torch.isin(owner, images) & finite).nonzero()[:, 0]
        if len(index):
            yield images, index, boxes[index]
    index = (finite & ~whole[owner]).nonzero()[:, 0]
    if len(index):
        yield None, index, boxes[index]


def _owner(rois: Tensor, index: Tensor, images: Tensor | None) -> Tensor:
    """The map of each box among those that :func:`_channels_last` gives."""
    owner = rois[index, 0].long()
    return owner if images is None else torch.searchsorted(images, owner)


def _channels_last(maps: Tensor, images: Tensor | None) -> Tensor:
    """All maps as a view ``(N, H, W, C)``, or those of ``images``, wide and in that order in memory."""
    if images is None:
        return maps.permute(0, 2, 3, 1)
    _, channels, height, width = maps.shape
    cells = _scratch((len(images), height * width, channels), wide(maps.new_empty(0)))
    for place, image in enumerate(images.tolist()):
        cells[place].copy_(wide(maps[image]).flatten(1).t())  # in 2-D: 3 times faster than permuting in 3-D
    return cells.view(-1, height, width, channels)


def _finite(rois: Tensor) -> Tensor:
    return (wide(rois[:, 3:]) - wide(rois[:, 1:3])).isfinite().all(1)


_memory = threading.local()


def _scratch(shape: Sequence[int], like: Tensor) -> Tensor:
    """Memory for one map, as ``like`` in type and device, with anything in it; the next call's too."""
    size = math.prod(shape) * like.element_size()
    if like.device.type != "cpu" or size > KEPT:
        return like.new_empty(shape)
    if getattr(_memory, "kept", None) is None or _memory.kept.numel() < size:
        with torch.inference_mode(False):  # a tensor made in inference mode could not be written to outside
            _memory.kept = torch.empty(size, dtype=torch.uint8)
    return _memory.kept[:size].view(like.dtype).view(shape)
