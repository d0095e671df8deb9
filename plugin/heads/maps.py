"""What every decode head checks: the maps that it asks for, and those that arrive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..necks.checks import channel_list, check_channels


def several(in_channels: Sequence[int], in_index: Sequence[int] | None, least: int) -> dict[str, Any]:
    """Arguments of mmseg's ``BaseDecodeHead`` for a head that reads several maps, all by default.

    Raises:
        InputError: ``in_channels`` has fewer maps than ``least``, or another number than ``in_index``.
    """
    listed = channel_list(in_channels, least)
    index = list(range(len(listed))) if in_index is None else list(in_index)
    if len(index) != len(listed):
        raise InputError(f"in_index={index} picks {len(index)} maps, in_channels={listed} has {len(listed)}.")
    return dict(in_channels=listed, in_index=index, input_transform="multiple_select")


def picked(head: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The maps ``head.in_index`` of ``inputs``.

    Raises:
        InputError: a map is not there, or has other channels than the head was built for.
    """
    arrived = [x.shape[1] for x in inputs]
    lacking = [index for index in head.in_index if not -len(arrived) <= index < len(arrived)]
    if lacking:
        raise InputError(
            f"{type(head).__name__} asks for the maps in_index={head.in_index}, but {len(arrived)} arrive: "
            f"ask the backbone for more, as out_strides=(2, 4, 8, 16, 32) where it has stride 2 "
            f"(`mmbackbones info` shows the strides), or give the head fewer in_index and in_channels."
        )
    maps = [inputs[index] for index in head.in_index]
    check_channels(head, maps, list(head.in_channels))
    return maps
