"""PSA's point-wise spatial attention masks (PSANet, ECCV 2018).

Each cell predicts a mask of h_mask x w_mask weights centred on itself. "Collect" lays the masks out as
(other cell, own cell), "distribute" as (own cell, other cell); what falls outside the map is dropped.
Both layouts are one gather by a table of indices, and so is the gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

COLLECT = 0


def psamask_forward(
    input: Tensor,  # noqa: A002 (mmcv's name)
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Fill ``output`` (N, H*W, H, W) from the masks ``input`` (N, h_mask * w_mask, H, W)."""
    tap = _shift(h_feature, w_feature, h_feature, w_feature, half_h_mask, half_w_mask, -1, input.device)
    table, inside = _table(tap, h_mask, w_mask)
    for mask, out in zip(input.flatten(2), output.flatten(2), strict=True):
        full = torch.where(inside, mask.gather(0, table), 0)
        out.copy_(full if psa_type == COLLECT else full.t())


def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Fill ``grad_input`` (N, h_mask * w_mask, H, W) from ``grad_output`` (N, H*W, H, W)."""
    cell = _shift(h_mask, w_mask, h_feature, w_feature, -half_h_mask, -half_w_mask, 1, grad_output.device)
    table, inside = _table(cell, h_feature, w_feature)
    for full, grad in zip(grad_output.flatten(2), grad_input.flatten(2), strict=True):
        by_other = full if psa_type == COLLECT else full.t()
        grad.copy_(torch.where(inside, by_other.gather(0, table), 0))


def _shift(
    rows: int,
    columns: int,
    height: int,
    width: int,
    half_y: int,
    half_x: int,
    sign: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """``i + half + sign * own place`` along both axes, for i in rows x columns, own in height x width."""
    y = torch.arange(rows, device=device)[:, None] + half_y + sign * torch.arange(height, device=device)
    x = torch.arange(columns, device=device)[:, None] + half_x + sign * torch.arange(width, device=device)
    shape = (rows, columns, height, width)
    return (
        y[:, None, :, None].expand(shape).flatten(2).flatten(0, 1),
        x[None, :, None, :].expand(shape).flatten(2).flatten(0, 1),
    )


def _table(place: tuple[Tensor, Tensor], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Flat index of each ``place`` in a height x width grid, and whether it lies inside."""
    y, x = place
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return torch.where(inside, y * width + x, 0), inside
