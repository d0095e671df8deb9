"""How many cells a map has, and images padded up to whole cells, in words that every exporter takes.

Sides may be numbers, ``torch.export``'s symbols or, where TorchScript traces, tensors. TorchScript's ONNX
rounds ``-(-a // b)`` towards zero, so it is ``(a + b - 1) // b`` here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

#: Pixels that an image was padded by, down and right.
Surplus = tuple[int, int]


def ceil_div(side: int, stride: int) -> int:
    """Cells of ``stride`` that cover ``side``, both at least 1."""
    return (side + stride - 1) // stride


def pad_to(x: Tensor, multiple: int) -> tuple[Tensor, Surplus]:
    """``x`` (N, C, H, W) with zeros below and to the right of it up to multiples of ``multiple``."""
    if multiple == 1:
        return x, (0, 0)
    down, right = (-side % multiple for side in x.shape[-2:])
    return F.pad(x, (0, right, 0, down)), (down, right)


def cut(fmap: Tensor, surplus: Surplus, stride: int) -> Tensor:
    """``fmap`` without the cells that lie in the padding of its image as a whole."""
    down, right = (pad // stride for pad in surplus)
    if isinstance(down, torch.SymInt) or isinstance(right, torch.SymInt):
        # torch.export cannot prove where a slice ends, nor whether the slice is still contiguous
        return F.pad(fmap, (0, -right, 0, -down))
    return fmap[..., : fmap.shape[-2] - down, : fmap.shape[-1] - right]
