"""CARAFE, content-aware upsampling (arXiv 1905.02188).

An output cell is the weighted sum of the k x k window around its source cell; each output cell and
each of G channel groups has its own weights. Done as k^2 shifted products on views, so that the
extra memory is one padded map.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor


def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Fill ``output`` (N, C, H*s, W*s).

    Args:
        features: ``(N, C, H, W)``.
        masks: weights ``(N, G * k * k, H*s, W*s)``.
        kernel_size: k.
        group_size: G.
        scale_factor: s.
    """
    padded = _pad(features, kernel_size)
    out = _cells(output, group_size, scale_factor)
    out.zero_()
    for window, mask, _ in _taps(padded, masks, kernel_size, group_size, scale_factor):
        out.addcmul_(window, mask)


def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill ``grad_input`` and ``grad_masks``, shaped as ``features`` and ``masks``."""
    grad = _cells(grad_output, group_size, scale_factor)
    padded = _pad(features, kernel_size)
    total = padded.new_zeros(padded.shape)
    taps = _taps(padded, masks, kernel_size, group_size, scale_factor)
    sums = _taps(total, grad_masks, kernel_size, group_size, scale_factor)
    for (window, mask, _), (window_sum, _, mask_sum) in zip(taps, sums, strict=True):
        window_sum += (grad * mask).sum((4, 6), keepdim=True)
        mask_sum.copy_((grad * window).sum(2, keepdim=True))
    edge = kernel_size // 2
    grad_input.copy_(total[..., edge : total.shape[-2] - edge, edge : total.shape[-1] - edge])


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """As :func:`carafe_naive_forward`; ``rfeatures`` keeps the features for the backward.

    ``routput`` and ``rmasks`` are scratch of the compiled operator, not needed here.
    """
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """As :func:`carafe_naive_backward`; the ``rgrad_*`` are scratch of the compiled operator."""
    carafe_naive_backward(
        grad_output, rfeatures, masks, grad_input, grad_masks, kernel_size, group_size, scale_factor
    )


def _pad(features: Tensor, kernel_size: int) -> Tensor:
    return F.pad(features, (kernel_size // 2,) * 4)


def _cells(upsampled: Tensor, groups: int, scale: int) -> Tensor:
    """A view ``(N, G, C/G, H, s, W, s)`` of ``(N, C, H*s, W*s)``."""
    n, c, h, w = upsampled.shape
    return upsampled.view(n, groups, c // groups, h // scale, scale, w // scale, scale)


def _taps(
    padded: Tensor, masks: Tensor, kernel: int, groups: int, scale: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each place in the window: views of the shifted map and of its weights, twice the latter.

    The first two broadcast against :func:`_cells`' view; writing to any of them writes to its source.
    """
    n, _, hs, ws = masks.shape
    h, w = hs // scale, ws // scale
    weights = masks.view(n, groups, kernel * kernel, h, scale, w, scale)
    grouped = padded.view(n, groups, -1, h + kernel - 1, 1, w + kernel - 1, 1)
    for tap in range(kernel * kernel):
        y, x = divmod(tap, kernel)
        weight = weights[:, :, tap : tap + 1]
        yield grouped[:, :, :, y : y + h, :, x : x + w], weight, weight
