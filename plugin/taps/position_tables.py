"""Parameters whose length follows the size of the image: position embeddings and tables of biases."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ..sources.cells import ceil_div

Size = tuple[int, int]
_STEPS = range(1, 129)  # pixels per cell of a table that are tried
_EXTRAS = range(9)  # entries of a table that belong to no cell: class token, registers


class NotATableError(Exception):
    """A parameter depends on the size of the image and is neither a position embedding nor a table."""


@dataclass(frozen=True)
class Table:
    """How the length of a parameter follows the image's size.

    Attributes:
        dim: The dimension with one entry for each cell, or the first of two, one for each direction.
        kind: ``grid`` one entry for each cell; ``offsets`` one for each distance of two cells, from
            ``1 - n`` to ``n - 1``; ``rows`` and ``columns``, the same distances in one direction.
        step: Pixels from one cell to the next.
        extras: Entries that belong to no cell. Those of a grid come first, those of offsets last.
        distances: Whether entries belong to distances of cells and not to places in the image.
        flat: Whether both directions lie in one dimension.
    """

    dim: int
    kind: str
    step: int
    extras: int
    distances: bool
    flat: bool = True

    def cells(self, size: Size) -> Size:
        """Entries down and across for an image of ``size``."""
        high, wide = (ceil_div(side, self.step) for side in size)
        if self.kind == "grid":
            return high, wide
        high, wide = 2 * high - 1, 2 * wide - 1
        return {"offsets": (high, wide), "rows": (1, high), "columns": (1, wide)}[self.kind]

    def resampled(self, param: Tensor, old: Size, new: Size) -> Tensor:
        """``param`` of a network built for images of ``old``, for images of ``new``."""
        before, after = self.cells(old), self.cells(new)
        if before == after:
            return param
        corners = self.distances  # the distance 0 and the longest one keep their entries
        how: dict[str, Any] = dict(mode="bicubic", align_corners=corners, antialias=not corners)
        if param.is_meta:  # a trace takes no values, and torch writes bicubic out in a thousand steps there
            how = dict(mode="nearest")
        if not self.flat:
            dims = (self.dim, self.dim + 1)
            maps = param.movedim(dims, (-2, -1))
            new_maps = F.interpolate(maps.reshape(1, -1, *before).float(), after, **how)
            return new_maps.reshape(*maps.shape[:-2], *after).to(param.dtype).movedim((-2, -1), dims)
        last = param.movedim(self.dim, -1)
        first = self.kind == "grid"
        sizes = (self.extras, math.prod(before)) if first else (math.prod(before), self.extras)
        rest, cells = last.split(sizes, -1) if first else reversed(last.split(sizes, -1))
        maps = F.interpolate(cells.reshape(1, -1, *before).float(), after, **how)
        cells = maps.reshape(*last.shape[:-1], -1).to(param.dtype)
        return torch.cat((rest, cells) if first else (cells, rest), -1).movedim(-1, self.dim)


def table_of(name: str, before: torch.Size, after: torch.Size, old: Size, new: Size) -> Table:
    """The table that has shape ``before`` at size ``old`` and ``after`` at ``new``."""
    differ = [dim for dim, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    distances = "bias" in name or "rel" in name
    for kind in ("grid", "offsets", "rows", "columns"):
        for step in _STEPS:
            table = Table(differ[0], kind, step, 0, distances, flat=len(differ) == 1)
            cells, others = table.cells(old), table.cells(new)
            if not table.flat:
                dims = slice(differ[0], differ[0] + 2)
                if (tuple(before[dims]), tuple(after[dims])) == (cells, others):
                    return table
                continue
            extras = before[differ[0]] - math.prod(cells)
            if extras in _EXTRAS and extras == after[differ[0]] - math.prod(others):
                return replace(table, extras=extras)
    raise NotATableError(f"'{name}' of shape {tuple(before)} is {tuple(after)} at {new[0]}x{new[1]}")
