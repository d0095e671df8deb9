"""Checks labels against images and classes, names the classes, and writes the splits."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError
from . import colours
from .categories import subset_note
from .dataset import IGNORE_LABEL, Colour, DataSet, Split, some, split_off, write_cache
from .folders import Found
from .naming import Naming, name_values
from .pairs import Pairs, pair
from .scan import Scanner, Work

#: Of Cityscapes' labels: as handed out, and with the values of its evaluation, as its own scripts write them.
CITYSCAPES_SUFFIXES = {
    "_gtFine_labelIds.png": "cityscapes",
    "_gtFine_labelTrainIds.png": "cityscapes-train-ids",
}
ADE20K_FILE = "objectInfo150.txt"
CLASS_FILES = ("classes.txt", "classes.json", "class_names.txt", "labels.txt")


def finish(
    root: Path, found: dict[str, Found], ignore: Collection[int], work: Work, subset: Sequence[str] = ()
) -> DataSet:
    """Pair, check and split what :func:`~mmbackbones.data.folders.find` found.

    ``ignore`` are label values that mean 'ignore', beside 255; ``subset`` the classes to keep, if not all.

    Raises:
        InputError: files or label values that cannot be used; the message names them.
    """
    notes: list[str] = []
    label_dirs = {label_dir.name for _, label_dir, _ in found.values()}
    layout: Literal["voc", "folders"] = "voc" if label_dirs == {"SegmentationClass"} else "folders"
    pairs: dict[str, Pairs] = {}
    for split, (img_dir, label_dir, listed) in found.items():
        pairs[split], said = pair(img_dir, label_dir, listed, work.cache / f"images_{split}")
        notes += said
    places = [root, *(folder for _, labels, _ in found.values() for folder in (labels, labels.parent))]
    given = read_classes(_first_of(CLASS_FILES, places))
    if (table := _first_of(colours.COLOUR_FILES, places)) and any(map(colours.has_colours, pairs.values())):
        given = colours.colour_table(table)
        ignore = {*colours.void_values(given[0]), *ignore}
        for split, part in pairs.items():
            pairs[split] = colours.as_indices(part, given[1], work.cache / f"labels_{split}")
        notes.append(f"Labels of colours were written as class indices by '{table}', in '{work.cache}'.")
    values = [_check(part, work.scanner) for part in pairs.values()]
    if not given[0] and (root / ADE20K_FILE).is_file():
        given, ignore = (_ade20k(root / ADE20K_FILE), ()), {0, *ignore}
    occurring = {value for part in values for one in part for value in one}
    images = [image for part in pairs.values() for image in part.images]
    suffixes = {part.label_suffix for part in pairs.values()}
    known = CITYSCAPES_SUFFIXES.get(suffixes.pop(), layout) if len(suffixes) == 1 else layout
    naming = name_values(occurring, given, ignore, images, known, notes)
    if subset:
        notes.append(subset_note(subset, naming.classes(), "its pixels are ignored"))
        naming = naming.only(subset)
    if len(naming.kept()) < 2:
        raise InputError(
            f"'{root}' has one class, {some(naming.classes())}, and ignores all other pixels, so there is "
            f"nothing to tell it from. Keep a second class, such as background, in the labels and "
            f"{'--classes' if subset else 'their names'}."
        )
    _check_values(pairs.values(), values, naming)
    if absent := [naming.names[value] for value in naming.kept() if value not in occurring]:
        if len(absent) == len(naming.kept()):
            raise InputError(
                f"No label of '{root}' holds a class: all of their pixels mean 'ignore' "
                f"({some(sorted(occurring))}). Write the indices of {some(absent, limit=8)} into them."
            )
        notes.append(f"No label holds the classes {some(absent, limit=8)}.")
    whole = pairs.get("train") or pairs["all"]
    train, val = (pairs["train"], pairs["val"]) if "val" in pairs else _divide(whole, work, notes)
    if twice := set(train.images) & set(val.images):
        notes.append(f"{len(twice)} images are in both splits, so validation figures will look too good.")
    counts = {
        label: one
        for part, found_values in zip(pairs.values(), values, strict=True)
        for label, one in zip(part.labels, found_values, strict=True)
    }
    return DataSet(
        root=root,
        task="segmentation",
        layout=layout,
        classes=naming.classes(),
        palette=naming.colours(),
        train=_split(train, work.cache / "train.txt"),
        val=_split(val, work.cache / "val.txt"),
        notes=tuple(notes),
        has_masks=False,
        label_map=naming.label_map(),
        test=_split(pairs["test"], work.cache / "test.txt") if "test" in pairs else None,
        frequencies=tuple(
            _frequency(value, [counts[label] for label in train.labels]) for value in naming.kept()
        ),
    )


def _frequency(value: int, counts: Iterable[Mapping[int, int]]) -> float:
    """The share of a value in the pixels of the labels that hold it; 0 where none does."""
    holders = [one for one in counts if value in one]
    return sum(one[value] for one in holders) / max(1, sum(sum(one.values()) for one in holders))


def _ade20k(file: Path) -> tuple[str, ...]:
    """Names by label value of ADE20K's 150 classes (arXiv 1608.05442); value 0 is anything else.

    Raises:
        InputError: the file is no such table.
    """
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise InputError(f"'{file}' is not ADE20K's table of classes. Write a classes.txt, or take it out.")
    return ("other", *(row[-1].split(",")[0].strip() for row in rows[1:]))


def _divide(whole: Pairs, work: Work, notes: list[str]) -> tuple[Pairs, Pairs]:
    indices = split_off(len(whole.names), work.val_fraction, work.seed, f"'{whole.img_dir}'")
    notes.append(
        f"There is no validation split: {len(indices[1])} of {len(whole.names)} images were split off for "
        f"validation (seed {work.seed})."
    )
    train, val = (
        dataclasses.replace(
            whole,
            names=tuple(whole.names[index] for index in chosen),
            images=tuple(whole.images[index] for index in chosen),
            labels=tuple(whole.labels[index] for index in chosen),
        )
        for chosen in indices
    )
    return train, val


def _split(part: Pairs, target: Path) -> Split:
    file = write_cache(target, "\n".join(part.names) + "\n")
    return Split(part.img_dir, file, part.label_dir, len(part.names), part.img_suffix, part.label_suffix)


def _check(part: Pairs, scanner: Scanner) -> list[dict[int, int]]:
    """The pixels of each value in each label, once its size is found to be that of its image."""
    labels = scanner.labels(part.labels)
    sizes = scanner.sizes(part.images)
    problems = [
        f"{label.name} is {label_size[0]}x{label_size[1]}, its image {size[0]}x{size[1]}"
        for label, (label_size, _), size in zip(part.labels, labels, sizes, strict=True)
        if label_size != size
    ]
    if problems:
        raise InputError(
            f"{len(problems)} labels in '{part.label_dir}' differ in size from their images "
            f"(width x height): {some(problems)}. Save labels pixel for pixel like the images."
        )
    return [values for _, values in labels]


def _check_values(parts: Iterable[Pairs], values: list[list[dict[int, int]]], naming: Naming) -> None:
    without = [
        (label, [value for value in one if not naming.allows(value)])
        for part, part_values in zip(parts, values, strict=True)
        for label, one in zip(part.labels, part_values, strict=True)
    ]
    problems = [f"{label} holds {', '.join(map(str, found))}" for label, found in without if found]
    if problems:
        lowest = min(value for _, found in without for value in found)
        ignored = ", ".join(map(str, sorted({IGNORE_LABEL, *naming.ignored})))
        raise InputError(
            f"{len(problems)} labels hold values that no class has: {some(problems)}. Allowed are 0 to "
            f"{len(naming.names) - 1} ({len(naming.names)} classes: {some(naming.names, limit=8)}) and "
            f"{ignored} for pixels to ignore. If {lowest} means 'ignore', add --ignore-label {lowest}; else "
            f"correct the labels, or add the missing classes to classes.txt."
        )


def _first_of(names: Iterable[str], folders: Iterable[Path]) -> Path | None:
    """The first file with one of ``names`` in the first of the folders that has one."""
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def read_classes(file: Path | None) -> tuple[tuple[str, ...], tuple[Colour, ...]]:
    """Class names, and colours if the file gives them for all, else none.

    A text file has one name per line. A JSON file has one of the forms ``["a", "b"]``,
    ``{"0": "a", "1": "b"}``, ``{"classes": [...], "palette": [[r, g, b], ...]}`` or COCO's
    ``{"categories": [{"id": 0, "name": "a", "color": [r, g, b]}, ...]}``.

    Raises:
        InputError: the file is none of these, or names a class twice.
    """
    if file is None:
        return (), ()
    try:
        text = file.read_text(encoding="utf-8-sig")
        parsed = _parse_json(json.loads(text)) if file.suffix == ".json" else (text.splitlines(), None)
        names = [name.strip() for name in parsed[0] if name.strip()]
        palette = tuple((int(r), int(g), int(b)) for r, g, b in parsed[1] or ())
        if wrong := [colour for colour in palette if not all(0 <= part <= 255 for part in colour)]:
            raise ValueError(f"the colour {wrong[0]} has parts outside 0 to 255")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"Cannot read class names from '{file}': {error}. Allowed: a text file with one name per line, "
            f'or JSON as ["a", "b"] or {{"0": "a", "1": "b"}}.'
        ) from error
    if not names or len(set(names)) < len(names) or len(names) >= IGNORE_LABEL:
        raise InputError(
            f"'{file}' has {len(names)} names, {len(names) - len(set(names))} of them twice; it must name "
            f"1 to {IGNORE_LABEL - 1} classes, each once."
        )
    return tuple(names), palette if len(palette) == len(names) else ()


def _parse_json(content: Any) -> tuple[list[str], list[Any] | None]:
    if isinstance(content, dict) and "classes" in content:
        return list(content["classes"]), content.get("palette")
    if isinstance(content, dict) and "categories" in content:
        content = content["categories"]
    if isinstance(content, dict):
        content = [dict(id=int(key), name=name) for key, name in content.items()]
    if content and isinstance(content[0], dict):
        rows = sorted(content, key=lambda row: row["id"])
        if [row["id"] for row in rows] != list(range(len(rows))):
            raise ValueError(f"the ids must run from 0 to {len(rows) - 1}: {[row['id'] for row in rows]}")
        colours = [row["color"] for row in rows if "color" in row]
        return [row["name"] for row in rows], colours if len(colours) == len(rows) else None
    return list(content), None
