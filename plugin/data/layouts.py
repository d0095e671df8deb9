"""Recognises a user's data set: COCO, Pascal VOC, YOLO's text, or folders of images and labels.

Nothing of the user's is changed; whatever is converted, mended or split goes into a cache folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import boxes, coco, folders, labels, voc, yolo
from .dataset import TASKS, DataSet, Layout, Split, Task, dataset_cfg, evaluator_cfg, some
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
    classes: Sequence[str] = (),
    val: Path | None = None,
    test: Path | bool = False,
    progress: Progress | None = None,
) -> DataSet:
    """Recognise and check the data set in ``root``.

    Every image's header and every label is read once; what was read is kept in ``cache_dir``, so a
    second call only looks at what changed.

    Args:
        root: the user's folder.
        task: ``detection`` (COCO, Pascal VOC, YOLO) or ``segmentation`` (folders, Pascal VOC).
        cache_dir: folder for converted annotations, lists of names and what was read.
        val_fraction: part of the images, between 0 and 1, to split off if there is no validation split.
        seed: seed of that split.
        ignore_labels: segmentation: label values of pixels to ignore, beside 255.
        classes: keep these alone, in this order; none for all.
        val: folder, or COCO file, of the validation images, in place of the split of ``root``.
        test: the same of the test images; True for the test split of ``root``, which else is left alone.
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
    given = [str(one) for one in (",".join(classes), val, test) if one]
    key = hashlib.sha256(" ".join([f"{root} {task} {val_fraction} {seed}", *given]).encode()).hexdigest()[:10]
    cache = Path(cache_dir).expanduser().resolve() / f"{root.name}-{key}"
    work = Work(cache, Scanner(cache, progress), val_fraction, seed)
    others = {"val": val, "test": None if isinstance(test, bool) else test}
    data = _read(root, task, ignore_labels, work, classes, {k: v for k, v in others.items() if v}, bool(test))
    if test and data.test is None:
        raise InputError(
            f"'{root}' has no test split. Looked for a test.json, images/test with labels, or test.txt in "
            f"ImageSets; or name its folder or file with --test."
        )
    return dataclasses.replace(
        data,
        subset=bool(classes),
        channels=work.scanner.channels(),
        notes=(*data.notes, *work.scanner.notes()),
    )


def looks_like(root: str | Path) -> Task:
    """The task that a folder's layout is for; detection where it is for both or neither."""
    path = Path(root).expanduser()
    if not os.path.isdir(path) or _holds_boxes(path.resolve()):
        return "detection"
    return "segmentation" if folders.find(path) else "detection"


def _read(
    root: Path,
    task: Task,
    ignore_labels: Collection[int],
    work: Work,
    classes: Sequence[str],
    others: dict[str, Path],
    test: bool,
) -> DataSet:
    own = {split: _other(path, task, split, work.scanner) for split, path in others.items()}
    test = test and "test" not in own
    if task == "segmentation":
        if found := folders.find(root, test=test):
            return labels.finish(root, _with(found, own), ignore_labels, work, classes)
    elif read := _boxes(root, test, work.scanner):
        layout, parts, notes = read
        return boxes.finish(root, layout, _with(parts, own), notes, work, classes)
    raise _not_recognised(root, task)


def _boxes(
    root: Path, test: bool, scanner: Scanner
) -> tuple[Layout, dict[str, coco.Boxes], list[str]] | None:
    """The layout, the parts and notes; None if it is neither COCO, nor Pascal VOC, nor YOLO's."""
    files, notes = coco.find_files(root, test=test)
    base = None if files else voc.find(root)
    if base:
        return ("voc", *voc.read(base, test=test))
    if not files and (texts := yolo.find(root, test=test)):
        return ("yolo", *yolo.read(texts, scanner))
    if not files:
        files, notes = coco.find_files(root, any_json=True, test=test)
    if not files:
        return None
    return "coco", {split: coco.read(root, path, split) for split, path in files.items()}, notes


def _with(parts: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """``parts`` with others in the place of some; the whole then is for training alone."""
    if "val" in own and "all" in parts:
        parts = {**parts, "train": parts["all"]}
        del parts["all"]
    return {**parts, **own}


def _other(given: Path, task: Task, split: str, scanner: Scanner) -> Any:
    """One part of the data, from a folder or COCO file of its own.

    Raises:
        InputError: there is none, or it cannot be told which part of the folder is meant.
    """
    path = given.expanduser()
    option = f"--{split} {given}"
    if path.is_file() and task == "detection":
        return coco.read(path.resolve().parent, path.resolve(), split)
    if not path.is_dir():
        what = "folder or COCO file" if task == "detection" else "folder"
        raise InputError(f"{option}: there is no such {what}.")
    path = path.resolve()
    read = _boxes(path, True, scanner) if task == "detection" else ("", folders.find(path, test=True), [])
    if read is None or not read[1]:
        raise InputError(f"{option} is not recognised as data for {task}. {_looked_for(task)}")
    parts: dict[str, Any] = dict(read[1])
    if split not in parts and "all" not in parts:
        raise InputError(
            f"{option} has the splits {some(parts)}, but none for '{split}'. Give a folder that holds those "
            f"images alone{', or their COCO file' if task == 'detection' else ''}."
        )
    return parts.get(split) or parts["all"]


def _not_recognised(root: Path, task: Task) -> InputError:
    inside = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    there = (
        f"It holds {', '.join(inside[:8])}{', ...' if len(inside) > 8 else ''}." if inside else "It is empty."
    )
    other: Task = "segmentation" if task == "detection" else "detection"
    fits = folders.find(root) if task == "detection" else _holds_boxes(root)
    hint = f" It looks like data for {other}: use a {other} config." if fits else ""
    return InputError(
        f"'{root}' is not recognised as a data set for {task}. {there}{hint} {_looked_for(task)}"
    )


def _holds_boxes(root: Path) -> bool:
    return bool(coco.find_files(root)[0] or voc.find(root) or yolo.find(root))


def _looked_for(task: Task) -> str:
    of_boxes = "; ".join((coco.LOOKED_FOR, voc.LOOKED_FOR, yolo.LOOKED_FOR))
    return f"Looked for {of_boxes if task == 'detection' else folders.LOOKED_FOR}."
