"""Checks of a backbone's arguments; every error says what is allowed."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from ..catalog.spec import PYRAMID, STAGES, Spec
from ..errors import InputError, UnknownArgumentError, did_you_mean

#: What a backbone's ``memory_format`` takes beside None.
FORMATS = ("contiguous", "channels_last", "auto")


def unknown_arguments(unknown: dict[str, Any], of: type) -> UnknownArgumentError:
    """The error for arguments that ``of`` does not take, with the nearest that it does."""
    known = [name for name in inspect.signature(of).parameters if name != "unknown"]
    hints = "".join(did_you_mean(name, known) for name in unknown)
    return UnknownArgumentError(
        f"{of.__name__} has no argument {', '.join(map(repr, unknown))}.{hints} Allowed: {', '.join(known)}. "
        f"What the upstream's constructor takes goes into net_kwargs."
    )


def choose_strides(
    spec: Spec, out_strides: Sequence[int] | None, out_indices: Sequence[int] | None
) -> tuple[int, ...]:
    """The asked strides, ascending; by default all of 4, 8, 16, 32 that the net has.

    Raises:
        InputError: both spellings at once, a stride that the net lacks, or a wrong order.
    """
    if out_strides is not None and out_indices is not None:
        raise InputError(
            f"out_strides={tuple(out_strides)} and out_indices={tuple(out_indices)} say the same twice. "
            f"Give one: out_indices=(0, 1, 2, 3) means out_strides=(4, 8, 16, 32)."
        )
    if out_indices is not None:
        wrong = [index for index in out_indices if index not in range(len(PYRAMID))]
        if wrong:
            raise InputError(
                f"out_indices={tuple(out_indices)}: allowed are 0, 1, 2, 3, which mean C2 to C5."
            )
        out_strides = [PYRAMID[index] for index in out_indices]
    if out_strides is None:
        out_strides = [stride for stride in PYRAMID if stride in spec.channels]
    lacking = [stride for stride in out_strides if stride not in spec.channels]
    if lacking:
        absent = [str(stride) for stride in lacking]
        raise InputError(
            f"'{spec.name}' has no map at stride {', '.join(absent)}. It has {spec.strides}: ask for some of "
            f"these, or find another with `mmbackbones list --strides {','.join(absent)}`."
        )
    if not out_strides or list(out_strides) != sorted(set(out_strides)):
        raise InputError(f"strides {tuple(out_strides)} must ascend, each once, e.g. (4, 8, 16, 32).")
    return tuple(out_strides)


def check_in_channels(in_channels: int) -> None:
    """Raises InputError unless ``in_channels`` is a whole number of at least 1."""
    if isinstance(in_channels, bool) or not isinstance(in_channels, int) or in_channels < 1:
        raise InputError(f"in_channels={in_channels!r} must be a whole number of at least 1.")


def check_memory_format(asked: str | None) -> None:
    """Raises InputError unless ``asked`` is None or one of :data:`FORMATS`."""
    if asked is not None and asked not in FORMATS:
        raise InputError(
            f"memory_format={asked!r} is unknown. Allowed: {', '.join(map(repr, FORMATS))}, or None, which "
            f"leaves it to the command that runs the net."
        )


def check_arguments(
    spec: Spec,
    /,
    *,
    frozen_stages: int = -1,
    frozen_fraction: float | None = None,
    in_channels: int = 3,
    memory_format: str | None = None,
    norm_cfg: dict[str, Any] | None = None,
    output_stride: int | None = None,
    **_: Any,
) -> None:
    """Raises InputError for a value that the backbone of ``spec`` does not take; nothing is built for it."""
    check_frozen_stages(frozen_stages)
    check_frozen_fraction(frozen_fraction, frozen_stages)
    check_in_channels(in_channels)
    check_memory_format(memory_format)
    if norm_cfg is not None:
        from ..surgery.norms import check_norm_cfg

        check_norm_cfg(norm_cfg)
    if output_stride is not None:
        from ..surgery.dilatable import check_dilatable  # here: what asks for neither needs no torch

        check_dilatable(spec, output_stride)


def check_frozen_stages(frozen_stages: int) -> None:
    """Raises InputError unless ``frozen_stages`` is -1, 0, 1, ... 4."""
    if isinstance(frozen_stages, bool) or frozen_stages not in range(-1, STAGES + 1):
        raise InputError(
            f"frozen_stages={frozen_stages!r} is out of range. Allowed: -1 (nothing), 0 (the stem), "
            f"1 to {STAGES} (the stem and that many stages)."
        )


def check_frozen_fraction(fraction: float | None, frozen_stages: int) -> None:
    """Raises InputError unless ``fraction`` is None or in [0, 1], and the only way of freezing."""
    if fraction is None:
        return
    number = isinstance(fraction, (int, float)) and not isinstance(fraction, bool)
    if not number or not 0 <= fraction <= 1:
        raise InputError(
            f"frozen_fraction={fraction!r} is out of range. Allowed: 0 (nothing) to 1 (all weight layers), "
            f"as 1/3 for the first third."
        )
    if frozen_stages != -1:
        raise InputError(
            f"frozen_stages={frozen_stages} and frozen_fraction={fraction} both say where freezing ends. "
            f"Give one of them."
        )
