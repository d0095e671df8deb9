"""Choosing among the catalog's backbones, and users' own, by what is known of them."""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Iterable, Sequence

from ..catalog.own import own_names
from ..catalog.rows import ROWS
from ..catalog.spec import Spec
from ..errors import InputError, did_you_mean
from .specs import get_spec

_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}


def list_backbones(
    pattern: str = "*",
    *,
    family: str | None = None,
    kind: str | None = None,
    task: str | None = None,
    strides: Sequence[int] = (),
    min_params: float | str | None = None,
    max_params: float | str | None = None,
    max_gflops: float | None = None,
    has_se: bool | None = None,
    dilatable: bool | None = None,
    has_weights: bool | None = None,
) -> list[str]:
    """Names of the catalog, sorted, without aliases, and those of users' own networks.

    >>> list_backbones("resnet*", max_params="25M", has_weights=True)
    ['resnet18', 'resnet34', 'resnet50']

    Args:
        pattern: A shell pattern (``regnet*``) that the name or an alias matches.
        family: Only this family.
        kind: ``cnn``, ``transformer`` or ``hybrid``, see :class:`mmbackbones.tracing.cost.Cost`.
        task: What the maps suffice for: ``classification``, ``detection`` or ``segmentation``, see
            :attr:`mmbackbones.catalog.spec.Spec.tasks`.
        strides: Only nets that have maps at all of these strides, in pixels.
        min_params: Fewest parameters up to the coarsest map, a number or a text as ``"5M"``.
        max_params: Most parameters, likewise.
        max_gflops: Most billions of multiply-adds at 224 x 224.
        has_se: Only nets with (True) or without (False) squeeze-and-excitation.
        dilatable: Only nets that can (True) or cannot (False) take ``output_stride``.
        has_weights: Only nets with (True) or without (False) pretrained weights.

    Users' own networks are those of :func:`mmbackbones.register_backbone`. One whose entry point or maps
    cannot be read is left out, with a warning.

    Raises:
        InputError: no net has such a family, kind, task or stride, or a size is no number.
    """
    rows = (*ROWS, *_own_rows())
    _check("family", family, {row.family for row in rows})
    _check("kind", kind, {row.kind for row in rows})
    _check("task", task, {task for row in rows for task in row.tasks})
    for stride in strides:
        _check("stride", stride, {stride for row in rows for stride in row.channels})
    fewest = 0.0 if min_params is None else as_number("min_params", min_params)
    most = float("inf") if max_params is None else as_number("max_params", max_params)
    work = float("inf") if max_gflops is None else as_number("max_gflops", max_gflops)
    return sorted(
        row.name
        for row in rows
        if _matches(row, pattern)
        and family in (None, row.family)
        and kind in (None, row.kind)
        and (task is None or task in row.tasks)
        and row.channels.keys() >= set(strides)
        and fewest <= row.params <= most
        and row.gflops <= work
        and has_se in (None, row.has_se)
        and dilatable in (None, row.dilatable)
        and has_weights in (None, bool(row.weights))
    )


def _own_rows() -> list[Spec]:
    """What is known of users' own networks, which are measured for it once."""
    found = []
    for name in own_names():
        try:
            found.append(get_spec(name))
        except Exception as error:  # users' code, which may fail in any way
            warnings.warn(f"Left out of the list: {error}", stacklevel=3)
    return found


def _matches(row: Spec, pattern: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for name in (row.name, *row.aliases))


def _check(what: str, value: int | str | None, allowed: Iterable[int | str]) -> None:
    """Raises InputError unless ``value`` is None or one of ``allowed``, all of one type."""
    known = sorted(set(allowed))
    if value is None or value in known:
        return
    hint = did_you_mean(value, map(str, known)) if isinstance(value, str) else ""
    raise InputError(
        f"No backbone of the catalog has {what} {value!r}.{hint} Allowed: {', '.join(map(str, known))}."
    )


def as_number(what: str, value: float | str) -> float:
    """``value`` as a number: it may be a text with a unit, as ``"5M"``, ``"0.3G"`` or ``"800k"``.

    Raises:
        InputError: it is no such number, or below zero.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)([KMGB]?)", str(value).strip().upper())
    if isinstance(value, bool) or not found:
        raise InputError(f"{what}={value!r} is no size. Write a number, or one with a unit as '10M', '800K'.")
    return float(found[1]) * _UNITS[found[2]]
