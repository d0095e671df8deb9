"""What every neck checks: its ``in_channels``, and the maps that arrive."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..errors import InputError
from ..sources.cells import ceil_div


def channel_list(in_channels: Sequence[int]) -> list[int]:
    """``in_channels`` as a list of positive integers, one for each map that arrives.

    Raises:
        InputError: anything else, a single number too.
    """
    listed = list(in_channels) if isinstance(in_channels, Sequence) else []
    if not listed or not all(isinstance(c, int) and c > 0 for c in listed):
        raise InputError(
            f"in_channels={in_channels!r}: write the channels of each map that arrives, fine to coarse, "
            f"as in_channels=[256, 512, 1024, 2048]."
        )
    return listed


def check_maps(neck: nn.Module, inputs: Sequence[Tensor], in_channels: list[int]) -> None:
    """Raises InputError unless ``inputs`` are maps with the channels that ``neck`` was built for."""
    name = type(neck).__name__
    if isinstance(inputs, Tensor):
        raise InputError(f"{name} takes a tuple of maps, but one tensor arrives: write neck((x,)).")
    arrived = [x.shape[1] for x in inputs]
    if arrived != in_channels:
        raise InputError(
            f"{name} was built for maps of {in_channels} channels, but {arrived} arrive: "
            f"write in_channels={arrived} in the neck, or ask the backbone for other levels."
        )


def check_halving(neck: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Raises InputError unless each map has half the cells of the one before, rounded up."""
    sizes = [tuple(x.shape[2:]) for x in inputs]
    for fine, coarse in zip(sizes, sizes[1:], strict=False):
        half = tuple(ceil_div(cells, 2) for cells in fine)
        if coarse != half:
            raise InputError(
                f"{type(neck).__name__} takes maps that halve from level to level, rounded up, but maps of "
                f"{sizes} cells arrive: after {fine} comes {half}. Ask the backbone for neighbouring "
                f"strides, as out_strides=(8, 16, 32)."
            )
