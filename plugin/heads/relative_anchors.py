"""SSD's anchors in parts of the image, so that they fit every input size."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from ..errors import InputError

Size = tuple[int, int]


class RelativeAnchorGenerator:
    """Anchors of SSD (arXiv 1512.02325, section 2.2), sizes and places relative to the image.

    Level k of m has the side ``s_k``, ``scale_range`` in m even steps, as a share of the image: two
    squares of ``s_k`` and ``sqrt(s_k s_(k+1))``, ``s_m`` being 1, then for each ratio r a box of
    ``s_k sqrt(r) x s_k / sqrt(r)`` and the same on end. Cell (i, j) of a map of ``h x w`` cells has its
    anchors at ``((j + 0.5) / w, (i + 0.5) / h)`` of the image. mmdet's ``SSDAnchorGenerator`` has sizes
    and strides in pixels instead, which fit one input size.

    The image is taken to be ``stride`` times the first map: exact if ``stride`` divides its sides, else
    less than ``stride`` larger.

    Args:
        stride: stride of the first map in pixels.
        scale_range: sides of the first and of the last level's anchors, as shares of the image.
        ratios: for each level the ratios of width to height above 1.
        clip: whether no side is longer than the image, as in torchvision.

    Attributes:
        num_base_priors: anchors of a cell, for each level.
        num_levels: number of levels.

    Raises:
        InputError: a range outside of 0..1, or fewer than two levels.

    >>> anchors = RelativeAnchorGenerator(16, (0.2, 0.95), [[2, 3]] * 6)
    >>> [len(a) for a in anchors.grid_priors([(n, n) for n in (20, 10, 5, 3, 2, 1)], device="cpu")]
    [2400, 600, 150, 54, 24, 6]
    """

    def __init__(
        self,
        stride: int = 16,
        scale_range: Sequence[float] = (0.2, 0.95),
        ratios: Sequence[Sequence[float]] = ((2, 3),) * 6,
        clip: bool = True,
    ) -> None:
        low, high = scale_range
        if not 0 < low <= high <= 1:
            raise InputError(f"scale_range={tuple(scale_range)}: write shares of the image, as (0.2, 0.95).")
        if len(ratios) < 2:
            raise InputError(f"ratios={ratios}: write one list for each of at least two levels.")
        self.stride = stride
        self.num_levels = len(ratios)
        step = (high - low) / (self.num_levels - 1)
        scales = [low + k * step for k in range(self.num_levels)] + [1.0]
        self.sides = [
            _sides(side, after, wide, clip)
            for side, after, wide in zip(scales, scales[1:], ratios, strict=False)
        ]
        self.num_base_priors = [len(sides) for sides in self.sides]

    def grid_priors(
        self,
        featmap_sizes: Sequence[Size],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cuda",
    ) -> list[Tensor]:
        """Anchors of each level, ``(h * w * num_base_priors, 4)``, x1 y1 x2 y2 in pixels of the image."""
        if len(featmap_sizes) != self.num_levels:
            raise InputError(
                f"{len(featmap_sizes)} maps arrive, but ratios has {self.num_levels} levels: write one "
                f"list of ratios for each map."
            )
        image = [cells * self.stride for cells in featmap_sizes[0]]
        return [
            self._level(sides.to(device, dtype), size, image)
            for sides, size in zip(self.sides, featmap_sizes, strict=True)
        ]

    def valid_flags(
        self, featmap_sizes: Sequence[Size], pad_shape: Sequence[int], device: torch.device | str = "cuda"
    ) -> list[Tensor]:
        """For each level which anchors stand in a cell that begins inside ``pad_shape`` (height, width)."""
        image = [cells * self.stride for cells in featmap_sizes[0]]
        flags = []
        for count, (rows, columns) in zip(self.num_base_priors, featmap_sizes, strict=True):
            inside_y = torch.arange(rows, device=device) * (image[0] / rows) < pad_shape[0]
            inside_x = torch.arange(columns, device=device) * (image[1] / columns) < pad_shape[1]
            cells = (inside_y[:, None] & inside_x).reshape(-1, 1)
            flags.append(cells.expand(-1, count).reshape(-1))
        return flags

    def _level(self, sides: Tensor, size: Size, image: Sequence[int]) -> Tensor:
        rows, columns = size
        y = (torch.arange(rows, device=sides.device).to(sides) + 0.5) * (image[0] / rows)
        x = (torch.arange(columns, device=sides.device).to(sides) + 0.5) * (image[1] / columns)
        centre = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 1, 2)
        half = torch.stack([sides[:, 0] * image[1], sides[:, 1] * image[0]], -1) / 2
        return torch.cat([centre - half, centre + half], -1).reshape(-1, 4)


def _sides(side: float, after: float, ratios: Sequence[float], clip: bool) -> Tensor:
    """Width and height of one cell's anchors, ``(2 + 2 len(ratios), 2)``, as shares of the image."""
    sides = [(side, side), (sqrt(side * after),) * 2]
    for ratio in ratios:
        wide, high = side * sqrt(ratio), side / sqrt(ratio)
        sides += [(wide, high), (high, wide)]
    found = torch.tensor(sides, device="cpu")  # no parameter: it keeps its values under torch.device("meta")
    return found.clamp(max=1) if clip else found
