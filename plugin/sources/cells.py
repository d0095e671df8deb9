"""Cells of maps: how many, images padded to whole ones, maps resampled; in words that every exporter takes.

Sides may be numbers, ``torch.export``'s symbols or, where TorchScript traces, tensors. TorchScript's ONNX
rounds ``-(-a // b)`` towards zero, so it is ``(a + b - 1) // b`` here.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def resample(x: Tensor, stride: int, new_stride: int, cells: Sequence[int]) -> Tensor:
    """``x`` (N, C, h, w) of ``stride`` at ``new_stride``, bilinear: each cell at its place in the image.

    ``interpolate`` with a size alone would stretch the map where the sides do not divide evenly.

    Args:
        x: The map.
        stride: Of ``x``, in pixels.
        new_stride: Of the map that is returned.
        cells: How many it has at least, down and right.
    """
    needed = [ceil_div(cell * new_stride, stride) + 1 for cell in cells]  # one more: interpolate rounds down
    lacking = [max(0, need - have) for need, have in zip(needed, x.shape[-2:], strict=True)]
    x = F.pad(x, (0, lacking[1], 0, lacking[0]), mode="replicate")
    scale = stride / new_stride
    return F.interpolate(
        x, scale_factor=scale, mode="bilinear", align_corners=False, recompute_scale_factor=False
    )


def cut(fmap: Tensor, surplus: Surplus, stride: int) -> Tensor:
    """``fmap`` without the cells that lie in the padding of its image as a whole."""
    down, right = (pad // stride for pad in surplus)
    if isinstance(down, torch.SymInt) or isinstance(right, torch.SymInt):
        # torch.export cannot prove where a slice ends, nor whether the slice is still contiguous
        return F.pad(fmap, (0, -right, 0, -down))
    return fmap[..., : fmap.shape[-2] - down, : fmap.shape[-1] - right]
