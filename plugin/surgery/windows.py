"""Shifted windows on maps that the windows do not divide."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class PadFirst:
    """The windowed attention of a Swin block, on a map that is padded before it is shifted.

    timm shifts first: the rows that wrap around then lie before the padding, where the mask of the
    shifted windows does not expect them, so that the top of an image attends to its bottom. Swin's
    authors, in their detectors (arXiv 2103.14030), pad first. Where windows divide the map both agree.

    Args:
        block: a block of timm's Swin or SwinV2.
    """

    def __init__(self, block: Any) -> None:
        self.block = block

    def __call__(self, x: Tensor) -> Tensor:
        """``(N, H, W, C)`` to the same."""
        high, wide = x.shape[1:3]
        down, right = (
            -side % window for side, window in zip((high, wide), self.block.window_size, strict=True)
        )
        padded = F.pad(x, (0, 0, 0, right, 0, down))
        return type(self.block)._attn(self.block, padded)[:, :high, :wide]


def pad_before_shift(net: nn.Module) -> None:
    """Give each block of shifted windows in ``net`` a :class:`PadFirst`, in place."""
    for module in net.modules():
        if hasattr(module, "_attn") and any(getattr(module, "shift_size", ())):
            module._attn = PadFirst(module)  # type: ignore[assignment]
