"""Detectors and segmentors of torchvision as checkpoints for mmdet's and mmseg's heads on our backbones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .torchvision_rows import ROWS, Row

AUXILIARY = "auxiliary_head"
UNUSED = "N/A"  # among torchvision's categories


@dataclass(frozen=True)
class Converted:
    """What :func:`checkpoint_of` made of a file.

    Attributes:
        row: which of torchvision's models it was.
        checkpoint: ``state_dict``, and ``meta`` with the names of the classes in ``dataset_meta``.
        notes: what of the file is left out, and what it lacks; a sentence each.
        options: settings in which the model differs from the row's config, as ``--cfg-options`` takes them.
    """

    row: Row
    checkpoint: dict[str, Any]
    notes: tuple[str, ...]
    options: tuple[str, ...]


def recognise(state: Mapping[str, Tensor]) -> Row:
    """The row that ``state`` has the weights of: all of its names, and no others.

    Raises:
        InputError: of another network; the message has the nearest and what differs.
    """
    rows = {row.name: _differences(row, state) for row in ROWS}
    name = min(rows, key=lambda name: sum(map(len, rows[name])))
    unknown, lacking = rows[name]
    if unknown or lacking:
        found = f"it also has {', '.join(unknown[:2])}" if unknown else f"it has no {lacking[0]}"
        raise InputError(
            f"These are no weights of a model of torchvision that converts. The nearest is {name}, but "
            f"{found}. Give the file of one of {', '.join(rows)}, or what "
            f"`torch.save(model.state_dict(), ...)` wrote of one."
        )
    return next(row for row in ROWS if row.name == name)


def _differences(row: Row, state: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Names that the row does not know, and parts of ours that then have no weights."""
    rules = {name: _rule(row, name) for name in state}
    used = set(rules.values())
    lacking = [ours for theirs, ours in row.rules.items() if theirs not in used]
    return [name for name, rule in rules.items() if rule is None], [
        re.sub(r"\.?\\.*", "", ours) for ours in lacking
    ]


def _rule(row: Row, name: str) -> str | None:
    return next((rule for rule in (*row.rules, *row.optional) if re.fullmatch(rule, name)), None)


def convert(
    row: Row, state: Mapping[str, Tensor], keep: Sequence[int] | None = None, eps: float | None = None
) -> dict[str, Tensor]:
    """Weights of torchvision's model for the model of the row's config.

    Of a detector the background, torchvision's class 0, becomes the last class, or is left out where nobody
    reads it. Batch norms that are frozen in the config divide by the deviation without eps: theirs is added
    to the variance.

    Args:
        row: what :func:`recognise` found.
        state: the model's state dict; unchanged.
        keep: numbers of torchvision's classes to keep, in this order; by default all, 1, 2, ...
        eps: of the frozen batch norms; by default 1e-5 where they count batches, which is
            ``nn.BatchNorm2d``, and that of torchvision's own weights where they do not.
    """
    rules = row.rules | row.optional
    if row.eps is None:  # the config trains its batch norms, which keep their eps
        eps = None
    elif eps is None:
        eps = 1e-5 if any(name.endswith("num_batches_tracked") for name in state) else row.eps
    converted = {}
    for name, value in state.items():
        if eps is not None and name.endswith("running_var"):
            value = value + eps
        if eps is None or not name.endswith("num_batches_tracked"):
            rule = str(_rule(row, name))
            converted[re.sub(rule, rules[rule], name)] = value
    converted |= {name: torch.tensor(1.0) for name in row.ones}
    for layer in row.classes:
        for kind in ("weight", "bias"):
            if (name := f"{layer.name}.{kind}") in converted:
                grouped = converted[name].unflatten(0, (layer.anchors, -1, layer.values))
                rows = list(range(layer.first, grouped.shape[1]) if keep is None else keep)
                picked = [*rows, 0] if layer.background else rows
                converted[name] = grouped[:, picked].flatten(0, 2)
    return converted


def number_of_classes(row: Row, converted: Mapping[str, Tensor]) -> int:
    """Of the weights that :func:`convert` gives, without a background that is no class of the config's."""
    scores = row.classes[0]
    return len(converted[f"{scores.name}.bias"]) // scores.anchors - scores.background


def categories(row: Row) -> dict[str, int]:
    """Names and numbers of the classes of torchvision's own weights; of COCO's 90 only 80 are used."""
    names = enumerate(_all_categories(row))
    named = {name.strip("_"): number for number, name in names if name != UNUSED}
    return {name: number for name, number in named.items() if number >= row.classes[0].first}


def _all_categories(row: Row) -> Sequence[str]:
    from torchvision.models import get_model_weights

    return next(iter(get_model_weights(row.name))).meta["categories"]


def checkpoint_of(
    file: str | Path, classes: Sequence[str] | None = None, eps: float | None = None
) -> Converted:
    """A file of torchvision's model as a checkpoint that ``mmbackbones test`` and ``predict`` take.

    Args:
        file: a state dict, by itself or under ``model`` or ``state_dict``, or ``torchvision://<name>.<tag>``.
        classes: names; without the background for a detector, with it for a segmentor. They may be left out
            for as many as torchvision's own weights have, which then are those of COCO or VOC: COCO's 80 are
            kept, the 10 that no image has are not.
        eps: as in :func:`convert`.

    Raises:
        InputError: unreadable, another network, or not as many names as classes.
    """
    from .files import read_checkpoint, state_dict_of

    state = state_dict_of(read_checkpoint(file))
    row = recognise(state)
    converted, own, notes = convert(row, state, eps=eps), categories(row), []
    count = number_of_classes(row, converted)
    _check_shapes(row, state, count, file)
    if classes is None and count == len(_all_categories(row)) - row.classes[0].first:
        classes = list(own)
        if count > len(own):
            converted = convert(row, state, list(own.values()), eps)
            notes.append(f"Left out: {count - len(own)} classes that no image of COCO has.")
    if classes is None or number_of_classes(row, converted) != len(classes):
        named = "no names" if classes is None else f"{len(classes)} names"
        beside = " beside the background" if row.classes[0].first else ", the background included"
        raise InputError(
            f"{file} has {count} classes{beside}, and there are {named}. Name each of them in the model's "
            f"order: --classes red,white,..."
        )
    options = (
        [] if len(classes) == len(own) else [f"model.{place}={len(classes)}" for place in row.num_classes]
    )
    if row.optional and not any(_rule(row, name) in row.optional for name in state):
        options = [option for option in options if not option.startswith(f"model.{AUXILIARY}")]
        options.append(f"model.{AUXILIARY}=None")
        notes.append("The file has no auxiliary head, which only trains.")
    checkpoint = {"meta": {"dataset_meta": {"classes": tuple(classes)}}, "state_dict": converted}
    return Converted(row, checkpoint, tuple(notes), tuple(options))


def _check_shapes(row: Row, state: Mapping[str, Tensor], count: int, file: str | Path) -> None:
    """Raises InputError where the layers are called as torchvision's are, but have other widths."""
    from torchvision.models import get_model

    with torch.device("meta"):
        theirs = get_model(
            row.name, weights=None, weights_backbone=None, num_classes=count + row.classes[0].first
        )
    for name, value in theirs.state_dict().items():
        if name in state and state[name].shape != value.shape:
            raise InputError(
                f"{file} has the layers of torchvision's {row.name} in other widths: {name} is "
                f"{tuple(state[name].shape)} instead of {tuple(value.shape)}. Only that model converts; "
                f"one on another backbone does not."
            )
