"""Deformable RoI pooling (arXiv 1703.06211): RoIAlign whose bins are each moved by a learned offset."""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import wide


def deform_roi_pool_forward(
    input: Tensor,  # noqa: A002 (mmcv's name)
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Fill ``output`` (R, C, pooled_height, pooled_width).

    Args:
        input: ``(N, C, H, W)``.
        rois: ``(R, 5)``: image, x1, y1, x2, y2 in pixels.
        offset: ``(R, 2, pooled_height, pooled_width)``, x before y, or empty for none.
        spatial_scale: cells per pixel.
        sampling_ratio: samples along a bin's side; 0 takes one per cell, rounded up.
        gamma: an offset of 1 moves a bin by ``gamma`` times the box's side.
    """
    bins = (pooled_height, pooled_width)
    for box in range(len(rois)):
        shift = wide(offset[box]) if offset.numel() else None
        cells = wide(input[int(rois[box, 0])])
        output[box] = _pool(cells, rois[box], shift, bins, spatial_scale, sampling_ratio, gamma)


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,  # noqa: A002
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Add to the gradients of map and offsets, by pooling once more under autograd."""
    bins = (pooled_height, pooled_width)
    for box in range(len(rois)):
        image = int(rois[box, 0])
        wanted = [wide(input[image]).detach().requires_grad_()]
        if offset.numel():
            wanted.append(wide(offset[box]).detach().requires_grad_())
        with torch.enable_grad():
            shift = wanted[1] if offset.numel() else None
            pooled = _pool(wanted[0], rois[box], shift, bins, spatial_scale, sampling_ratio, gamma)
        gradients = torch.autograd.grad(pooled, wanted, wide(grad_output[box]))
        grad_input[image] += gradients[0]
        if offset.numel():
            grad_offset[box] += gradients[1]


def _pool(
    cells: Tensor,
    roi: Tensor,
    offset: Tensor | None,
    bins: tuple[int, int],
    scale: float,
    ratio: int,
    gamma: float,
) -> Tensor:
    """One box's bins ``(C, *bins)``, differentiable by ``cells`` (C, H, W) and ``offset`` (2, *bins)."""
    move = cells.new_zeros((2, *bins)) if offset is None else gamma * offset
    x1, y1, x2, y2 = (wide(roi[1:]) * scale - 0.5).to(cells.dtype)
    rows, y = _weights(
        _places(y1, y2, bins[0], ratio)[:, None] + ((y2 - y1) * move[1])[..., None], cells.shape[1]
    )
    columns, x = _weights(_places(x1, x2, bins[1], ratio) + ((x2 - x1) * move[0])[..., None], cells.shape[2])
    return torch.einsum("ijy,cyx,ijx->cij", rows, cells[:, y, x], columns)


def _places(low: Tensor, high: Tensor, bins: int, ratio: int) -> Tensor:
    """Centres of the samples, ``(bins, K)``, before bins are moved."""
    size = (high - low) / bins
    count = ratio if ratio > 0 else max(int(size.ceil()), 0)
    bin_index, index = (torch.arange(n, device=low.device) for n in (bins, count))
    return low + bin_index[:, None] * size + (index + 0.5) * size / max(count, 1)


def _weights(place: Tensor, size: int) -> tuple[Tensor, slice]:
    """Mean bilinear weight ``(*bins, E)`` of the cells in a slice of the axis, for samples ``(*bins, K)``."""
    if place.numel() == 0:
        return place.new_zeros((*place.shape[:2], 0)), slice(0, 0)
    centre = place.clamp(0, size - 1)
    first, stop = int(centre.min()), min(int(centre.max()) + 2, size)
    cells = torch.arange(first, stop, device=place.device)
    hat = (1 - (centre[..., None] - cells).abs()).clamp(min=0)
    inside = (place >= -1) & (place <= size)
    return (hat * inside[..., None]).mean(2), slice(first, stop)
