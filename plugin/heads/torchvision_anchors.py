"""Anchors where torchvision's detectors have them, so that their weights find the same boxes here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.task_modules.prior_generators import AnchorGenerator, MlvlPointGenerator
from torch import Tensor


class TorchvisionAnchorGenerator(AnchorGenerator):
    """Anchors of some sizes and several ratios of height to width on each level, as torchvision has them.

    They differ from mmdet's ``AnchorGenerator`` in two things. Corners are rounded to whole pixels: 32 px
    at ratio 0.5 is 46 x 22 instead of 45.3 x 22.6. And the distance of two cells is the image's side
    divided by the map's, rounded down, which is the stride only if that divides the side: over an image
    of 800 px P6 has 13 rows, 61 px from each other, not 64.

    Args:
        sizes: square root of an anchor's area on each level, in pixels; or several of a level, each with
            every ratio.
        ratios: height / width.
        strides: of the levels, in pixels. The image is the first of them times the first map: so it is
            where the data preprocessor pads its sides to multiples of that stride.

    >>> anchors = TorchvisionAnchorGenerator((32, 64), strides=(4, 8))
    >>> [level.shape for level in anchors.grid_priors([(20, 30), (10, 15)], device="cpu")]
    [torch.Size([1800, 4]), torch.Size([450, 4])]
    >>> anchors.base_anchors[0].tolist()[0]
    [-23.0, -11.0, 23.0, 11.0]
    """

    def __init__(
        self,
        sizes: Sequence[float | Sequence[float]] = (32, 64, 128, 256, 512),
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        strides: Sequence[int] = (4, 8, 16, 32, 64),
    ) -> None:
        self.sizes = [(size,) if isinstance(size, (int, float)) else tuple(size) for size in sizes]
        super().__init__(strides=list(strides), ratios=list(ratios), scales=[1.0])

    def gen_base_anchors(self) -> list[Tensor]:
        """Anchors around (0, 0) of each level, ``(ratios * sizes, 4)``, x1 y1 x2 y2 in whole pixels."""
        high = self.ratios.sqrt()[:, None]
        shapes = torch.stack([1 / high, high])
        sides = [torch.tensor(sizes, device=high.device) * shapes for sizes in self.sizes]
        return [torch.cat([-level, level]).flatten(1).T.div(2).round() for level in sides]

    def grid_priors(
        self,
        featmap_sizes: Sequence[tuple[int, int]],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cuda",
    ) -> list[Tensor]:
        """Anchors of each level, ``(h * w * ratios, 4)``, x1 y1 x2 y2 in pixels, cell by cell."""
        corners = _corners(featmap_sizes, self.strides[0], dtype, device)
        return [
            (corner[:, None].repeat(1, 1, 2) + base.to(corner)).reshape(-1, 4)
            for base, corner in zip(self.base_anchors, corners, strict=True)
        ]


class TorchvisionPointGenerator(MlvlPointGenerator):
    """The centres of those anchors, which are the first corners of the cells, for heads without anchors.

    Args:
        strides: of the levels, in pixels.
    """

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__(list(strides), offset=0.0)

    def grid_priors(
        self,
        featmap_sizes: Sequence[tuple[int, int]],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cuda",
    ) -> list[Tensor]:
        """Points of each level, ``(h * w, 2)``, x y in pixels."""
        return _corners(featmap_sizes, self.strides[0], dtype, device)


def _corners(
    sizes: Sequence[tuple[int, int]],
    stride: tuple[int, int],
    dtype: torch.dtype,
    device: torch.device | str,
) -> list[Tensor]:
    """The first corner of each cell, ``(h * w, 2)`` for each level; ``stride`` is that of the first."""
    height, width = (cells * step for cells, step in zip(sizes[0], stride, strict=True))
    levels = []
    for rows, columns in sizes:
        y = torch.arange(rows, device=device).to(dtype) * (height // rows)
        x = torch.arange(columns, device=device).to(dtype) * (width // columns)
        levels.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2))
    return levels
