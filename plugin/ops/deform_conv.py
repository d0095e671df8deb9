"""Deformable convolution, v1 (arXiv 1703.06211) and modulated v2 (arXiv 1811.11168).

torchvision's operator computes both; offsets and masks have the same layout in both libraries.
mmcv's ``im2col_step`` only divides the work and has no meaning here.

An offset that is NaN makes torchvision's operator read outside of its memory, which ends the process. Here
its output is NaN, so that a training which diverges says so: see :func:`_in_reach`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from ..errors import InputError
from .precision import wide

#: Cells: an offset that leads out of every map.
_FAR = 1e6


def deform_conv_forward(
    input: Tensor,  # noqa: A002 (mmcv's name)
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,  # noqa: N803 (mmcv's names)
    kH: int,  # noqa: N803
    dW: int,  # noqa: N803
    dH: int,  # noqa: N803
    padW: int,  # noqa: N803
    padH: int,  # noqa: N803
    dilationW: int,  # noqa: N803
    dilationH: int,  # noqa: N803
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fill ``output`` (N, C_out, H_out, W_out).

    Args:
        input: ``(N, C_in, H, W)``.
        weight: ``(C_out, C_in / group, kH, kW)``.
        offset: ``(N, deformable_group * 2 * kH * kW, H_out, W_out)``, y before x, in cells.
        columns, ones: scratch of the compiled operator.
    """
    result = deform_conv2d(
        wide(input), _in_reach(offset), wide(weight), None, (dH, dW), (padH, padW), (dilationH, dilationW)
    )
    output.copy_(result).masked_fill_(_nowhere(offset), torch.nan)


def deform_conv_backward_input(
    input: Tensor,  # noqa: A002
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,  # noqa: N803
    kH: int,  # noqa: N803
    dW: int,  # noqa: N803
    dH: int,  # noqa: N803
    padW: int,  # noqa: N803
    padH: int,  # noqa: N803
    dilationW: int,  # noqa: N803
    dilationH: int,  # noqa: N803
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fill ``grad_input`` and ``grad_offset``.

    torchvision computes all gradients at once. The weight's is left in ``columns``, scratch that mmcv
    hands on to :func:`deform_conv_backward_parameters`, so that it is not computed twice.
    """
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    by_input, by_weight, by_offset, _, _ = _gradients(grad_output, input, weight, offset, None, geometry)
    grad_input.copy_(by_input)
    grad_offset.copy_(by_offset)
    columns.resize_(by_weight.shape).copy_(by_weight)


def deform_conv_backward_parameters(
    input: Tensor,  # noqa: A002
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,  # noqa: N803
    kH: int,  # noqa: N803
    dW: int,  # noqa: N803
    dH: int,  # noqa: N803
    padW: int,  # noqa: N803
    padH: int,  # noqa: N803
    dilationW: int,  # noqa: N803
    dilationH: int,  # noqa: N803
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the weight's gradient, perhaps waiting in ``columns``, to ``grad_weight``."""
    if columns.numel() == 0:
        geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
        gradient = _gradients(grad_output, input, torch.zeros_like(grad_weight), offset, None, geometry)[1]
    else:
        gradient = columns.clone()
        columns.resize_(0)  # it holds for this pass only
    grad_weight.add_(gradient, alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """As :func:`deform_conv_forward`, with a bias ``(C_out,)`` and each sample times its ``mask``.

    ``mask`` is ``(N, deformable_group * kernel_h * kernel_w, H_out, W_out)``. Offsets and masks of another
    height and width are read as :func:`_laid_out` says.
    """
    size = output.shape[2:]
    offset = _laid_out(offset, size)
    result = deform_conv2d(
        wide(input),
        _in_reach(offset),
        wide(weight),
        wide(bias) if with_bias else None,
        (stride_h, stride_w),
        (pad_h, pad_w),
        (dilation_h, dilation_w),
        wide(_laid_out(mask, size)),
    )
    output.copy_(result).masked_fill_(_nowhere(offset), torch.nan)


def modulated_deform_conv_backward(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Fill the five gradients; ``grad_bias`` only if ``with_bias``."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    size = grad_output.shape[2:]
    offset, mask, grad_offset, grad_mask = (
        _laid_out(t, size) for t in (offset, mask, grad_offset, grad_mask)
    )
    computed = _gradients(grad_output, input, weight, offset, mask, geometry)
    wanted = [grad_input, grad_weight, grad_offset, grad_mask] + [grad_bias] * with_bias
    for target, gradient in zip(wanted, computed, strict=False):
        target.copy_(gradient)


def _laid_out(tensor: Tensor, size: torch.Size) -> Tensor:
    """A view of ``tensor`` (N, C, h, w) as ``(N, C, *size)``: of each image the first values in memory.

    The compiled operator reads its modulated offsets so, and DyHead (arXiv 2106.08322), which hands the
    offsets of one level to the next coarser one, was trained with it.

    Raises:
        InputError: there are fewer values than ``size`` needs.
    """
    if tensor.shape[2:] == size:
        return tensor
    needed = tensor.shape[1] * size.numel()
    if needed > tensor[0].numel():
        raise InputError(
            f"Offsets or masks of {tuple(tensor.shape[2:])} cells are too few for an output of {tuple(size)}."
        )
    return tensor.flatten(1)[:, :needed].unflatten(1, (tensor.shape[1], *size))


def _in_reach(offset: Tensor) -> Tensor:
    """``offset`` in a wide format and finite: what is not leads out of the map, where samples are 0."""
    return wide(offset).nan_to_num(nan=_FAR, posinf=_FAR, neginf=-_FAR)


def _nowhere(offset: Tensor) -> Tensor:
    """``(N, 1, H_out, W_out)``: the outputs of which a sample's place is NaN."""
    return offset.isnan().any(dim=1, keepdim=True)


def _gradients(
    grad_output: Tensor,
    input: Tensor,  # noqa: A002
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    geometry: tuple[int, ...],
) -> tuple[Tensor, ...]:
    """By input, weight, offset, mask and bias, from the operator behind torchvision's autograd."""
    grad, x = wide(grad_output).contiguous(), wide(input).contiguous()
    modulation = x.new_zeros((len(x), 1)) if mask is None else wide(mask).contiguous()
    return torch.ops.torchvision._deform_conv2d_backward(
        grad,
        x,
        wide(weight).contiguous(),
        _in_reach(offset).contiguous(),
        modulation,
        x.new_zeros(weight.shape[0]),
        *geometry,
        mask is not None,
    )
