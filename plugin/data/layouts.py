"""Recognises a user's data set: COCO, Pascal VOC, or folders of images and labels.

Nothing of the user's is changed; whatever is converted, mended or split goes into a cache folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Collection
from pathlib import Path

from ..errors import InputError
from . import boxes, coco, folders, labels, voc
from .dataset import TASKS, DataSet, Split, Task, dataset_cfg, evaluator_cfg
from .scan import Progress, Scanner, Work

__all__ = ["DataSet", "Split", "dataset_cfg", "evaluator_cfg", "recognise"]


def recognise(
    root: str | Path,
    task: Task,
    *,
    cache_dir: str | Path,
    val_fraction: float = 0.2,
    seed: int = 0,
    ignore_labels: Collection[int] = (),
    progress: Progress | None = None,
) -> DataSet:
    """Recognise and check the data set in ``root``.

    Every image's header and every label is read once; what was read is kept in ``cache_dir``, so a
    second call only looks at what changed.

    Args:
        root: the user's folder.
        task: ``detection`` (COCO, Pascal VOC) or ``segmentation`` (folders, Pascal VOC).
        cache_dir: folder for converted annotations, lists of names and what was read.
        val_fraction: part of the images, between 0 and 1, to split off if there is no validation split.
        seed: seed of that split.
        ignore_labels: segmentation: label values of pixels to ignore, beside 255.
        progress: called with ("images" or "labels", files read, files in all).

    Raises:
        InputError: no such folder, not recognised, or something in it cannot be used; the message
            names the file and value, what is allowed, and the next step.
    """
    if not 0 < val_fraction < 1:
        raise InputError(f"val_fraction={val_fraction} must lie between 0 and 1, as 0.2.")
    if task not in TASKS:
        raise InputError(f"task='{task}' is unknown; use 'detection' or 'segmentation'.")
    if ignore_labels and task != "segmentation":
        raise InputError(
            f"--ignore-label {next(iter(ignore_labels))} is about label maps, but the task is {task}. Leave "
            f"it out."
        )
    root = Path(root).expanduser()
    if not os.path.isdir(root):  # False too of names that no file can have
        raise InputError(f"There is no folder '{root}'. Give the folder of your data set.")
    root = root.resolve()
    key = hashlib.sha256(f"{root} {task} {val_fraction} {seed}".encode()).hexdigest()[:10]
    cache = Path(cache_dir).expanduser().resolve() / f"{root.name}-{key}"
    work = Work(cache, Scanner(cache, progress), val_fraction, seed)
    data = _read(root, task, ignore_labels, work)
    return dataclasses.replace(data, notes=(*data.notes, *work.scanner.notes()))


def _read(root: Path, task: Task, ignore_labels: Collection[int], work: Work) -> DataSet:
    if task == "detection":
        files, notes = coco.find_files(root)
        base = None if files else voc.find(root)
        if base:
            parts, notes = voc.read(base)
            return boxes.finish(root, "voc", parts, notes, work)
        if not files:
            files, notes = coco.find_files(root, any_json=True)
        if files:
            parts = {split: coco.read(root, path, split) for split, path in files.items()}
            return boxes.finish(root, "coco", parts, notes, work)
    elif found := folders.find(root):
        return labels.finish(root, found, ignore_labels, work)
    raise _not_recognised(root, task)


def _not_recognised(root: Path, task: Task) -> InputError:
    looked_for = f"{coco.LOOKED_FOR}; {voc.LOOKED_FOR}" if task == "detection" else folders.LOOKED_FOR
    inside = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    there = (
        f"It holds {', '.join(inside[:8])}{', ...' if len(inside) > 8 else ''}." if inside else "It is empty."
    )
    other: Task = "segmentation" if task == "detection" else "detection"
    fits = folders.find(root) if task == "detection" else (coco.find_files(root)[0] or voc.find(root))
    hint = f" It looks like data for {other}: use a {other} config." if fits else ""
    return InputError(
        f"'{root}' is not recognised as a data set for {task}. {there}{hint} Looked for {looked_for}."
    )
