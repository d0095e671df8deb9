"""What the tests against the originals share: random statistics, and how far apart maps are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def randomise_statistics(net: nn.Module, images: Tensor) -> None:
    """Let batch norms take their statistics from ``images``, and their affine from chance."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    net.train()
    for norm in norms:
        norm.train().momentum = 1.0  # mmdet's norm_eval keeps them in eval mode
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    with torch.no_grad():
        net(images)
    net.eval()


def largest_difference(ours: Any, theirs: Any) -> float:
    """Largest absolute difference over all tensors."""
    assert len(ours) == len(theirs)
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
