"""What every neck checks: its ``in_channels``, and the maps that arrive."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..errors import InputError
from ..sources.cells import ceil_div


def channel_list(in_channels: Sequence[int], least: int = 1) -> list[int]:
    """``in_channels`` as a list of positive integers, one for each map that arrives, ``least`` or more.

    Raises:
        InputError: anything else, a single number too.
    """
    listed = list(in_channels) if isinstance(in_channels, Sequence) else []
    if len(listed) < least or not all(isinstance(c, int) and c > 0 for c in listed):
        number = f"of {least} maps or more, " if least > 1 else ""
        raise InputError(
            f"in_channels={in_channels!r}: write the channels of each map that arrives, fine to coarse, "
            f"{number}as in_channels=[256, 512, 1024, 2048]."
        )
    return listed


def check_maps(neck: nn.Module, inputs: Sequence[Tensor], in_channels: list[int]) -> None:
    """Raises InputError unless ``inputs`` are maps with the channels that ``neck`` was built for."""
    if isinstance(inputs, Tensor):
        name = type(neck).__name__
        raise InputError(f"{name} takes a tuple of maps, but one tensor arrives: write neck((x,)).")
    check_channels(neck, inputs, in_channels)


def check_channels(part: nn.Module, maps: Sequence[Tensor], in_channels: list[int]) -> None:
    """Raises InputError unless ``maps`` have the channels that ``part``, a neck or a head, was built for."""
    arrived = [x.shape[1] for x in maps]
    if arrived != in_channels:
        raise InputError(
            f"{type(part).__name__} was built for maps of {in_channels} channels, but {arrived} arrive: "
            f"write in_channels={arrived} in it, or ask the backbone for other strides."
        )


def check_halving(neck: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Raises InputError unless each map has half the cells of the one before, rounded up."""
    sizes = [tuple(x.shape[2:]) for x in inputs]
    for fine, coarse in zip(sizes[:-1], sizes[1:], strict=True):
        half = tuple(ceil_div(cells, 2) for cells in fine)
        if coarse != half:
            raise InputError(
                f"{type(neck).__name__} takes maps that halve from level to level, rounded up, but maps of "
                f"{sizes} cells arrive: after {fine} comes {half}. Ask the backbone for neighbouring "
                f"strides, as out_strides=(8, 16, 32)."
            )
