"""Focal loss (arXiv 1708.02002) on logits and on softmax probabilities.

A label outside [0, C) is background: for the sigmoid loss a negative of every class, for the softmax
loss a row without loss if it is negative. Logarithms are of at least the smallest normal float32, as in mmcv.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import wide

TINY = torch.finfo(torch.float32).tiny


def sigmoid_focal_loss_forward(
    input: Tensor,  # noqa: A002 (mmcv's name)
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``output`` (N, C) with the loss of each logit.

    Args:
        input: logits ``(N, C)``.
        target: class of each row, ``(N,)`` int64.
        weight: weight of each class ``(C,)``, or empty; a row has the weight of its target.
    """
    p, hit = torch.sigmoid(wide(input)), _one_hot(target, input)
    positive = -alpha * (1 - p) ** gamma * p.clamp(min=TINY).log()
    negative = -(1 - alpha) * p**gamma * (1 - p).clamp(min=TINY).log()
    output.copy_(torch.where(hit, positive, negative) * _row_weight(weight, target)[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor,  # noqa: A002
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``grad_input`` (N, C) with the loss's derivative by its logit."""
    p, hit = torch.sigmoid(wide(input)), _one_hot(target, input)
    positive = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * p.clamp(min=TINY).log())
    negative = -(1 - alpha) * p**gamma * (gamma * (1 - p) * (1 - p).clamp(min=TINY).log() - p)
    grad_input.copy_(torch.where(hit, positive, negative) * _row_weight(weight, target)[:, None])


def softmax_focal_loss_forward(
    softmax: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` (N,) with the loss of each row of probabilities ``softmax`` (N, C)."""
    p = _picked(softmax, target)
    loss = -alpha * (1 - p) ** gamma * p.clamp(min=TINY).log()
    output.copy_(torch.where(target >= 0, loss * _row_weight(weight, target), 0))


def softmax_focal_loss_backward(
    softmax: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``grad_input`` (N, C) with the loss's derivative by the logits under ``softmax``.

    ``buff`` (N,) receives the part that a row's classes share.
    """
    p = _picked(softmax, target)
    shared = alpha * (1 - p) ** (gamma - 1) * (gamma * p * p.clamp(min=TINY).log() - (1 - p))
    shared = torch.where((target >= 0) & (p < 1), shared * _row_weight(weight, target), 0)
    buff.copy_(shared)
    grad_input.copy_(shared[:, None] * (_one_hot(target, softmax).to(shared.dtype) - wide(softmax)))


def _one_hot(target: Tensor, like: Tensor) -> Tensor:
    return target[:, None] == torch.arange(like.shape[1], device=like.device)


def _picked(softmax: Tensor, target: Tensor) -> Tensor:
    return wide(softmax).gather(1, target.clamp(min=0)[:, None])[:, 0]


def _row_weight(weight: Tensor, target: Tensor) -> Tensor:
    """The class weight of each row's target; 1 for background and where no weights are given."""
    if weight.numel() == 0:
        return torch.ones_like(target, dtype=wide(weight).dtype)
    known = (target >= 0) & (target < len(weight))
    return torch.where(known, wide(weight)[target.clamp(0, len(weight) - 1)], 1)
