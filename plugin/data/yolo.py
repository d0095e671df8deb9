"""YOLO's text layout, read as COCO: a line ``class x y width height`` an object, in shares of the image.

``x y`` is the centre. A line of more numbers is a polygon, ``class x1 y1 x2 y2 ...``, which becomes a mask.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .coco import Boxes
from .dataset import some
from .folders import IMAGE_DIRS, SPLIT_DIRS, sub_dir
from .labels import CLASS_FILES, read_classes
from .scan import IMAGE_SUFFIXES, Scanner, list_files

LOOKED_FOR = (
    "YOLO text: a data.yaml, or images/{train,val} with labels/{train,val}/*.txt, or train/images with "
    "train/labels"
)
_OUTSIDE = 0.01  # share by which a number may lie outside of 0 to 1, by rounding


@dataclass(frozen=True)
class Found:
    """Image folder and label folder of each split (one alone is ``all``), and class names, if given."""

    parts: dict[str, tuple[Path, Path]]
    names: tuple[str, ...]
    source: Path


class YoloBoxes(Boxes):
    """Boxes read from text files; messages name file and line."""

    def where(self, annotation: dict[str, Any]) -> str:
        return str(annotation["source"])


def find(root: Path, *, test: bool = False) -> Found | None:
    """Folders of images and of texts, if they are there.

    Raises:
        InputError: a data.yaml that cannot be read, or that names folders that are not there.
    """
    wanted = [split for split in SPLIT_DIRS if split != "test" or test]
    for described in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]):
        if found := _from_yaml(described, wanted):
            return found
    parts: dict[str, tuple[Path, Path]] = {}
    images, labels = sub_dir(root, IMAGE_DIRS), sub_dir(root, ("labels",))
    for split in wanted:
        inside = sub_dir(root, SPLIT_DIRS[split])
        pairs = [(inside and sub_dir(inside, IMAGE_DIRS), inside and sub_dir(inside, ("labels",)))]
        if images and labels:
            pairs.append((sub_dir(images, SPLIT_DIRS[split]), sub_dir(labels, SPLIT_DIRS[split])))
        for img_dir, label_dir in pairs:
            if img_dir and label_dir and _has_texts(label_dir):
                parts.setdefault(split, (img_dir, label_dir))
    if not parts.keys() - {"test"} and images and labels and _has_texts(labels):
        parts["all"] = (images, labels)
    if not parts.keys() - {"test"}:
        return None
    if "train" not in parts and "val" in parts:
        parts["all"] = parts.pop("val")
    places = [root, *(folder for _, folder in parts.values())]
    file = next((place / name for place in places for name in CLASS_FILES if (place / name).is_file()), None)
    return Found(parts, read_classes(file)[0], file or root)


def _has_texts(folder: Path) -> bool:
    return any(Path(name).name not in CLASS_FILES for name in list_files(folder, (".txt",)))


def _from_yaml(file: Path, wanted: Iterable[str]) -> Found | None:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"Cannot read '{file}': {error}. Mend it, or take it out of the folder.") from error
    if not isinstance(content, dict) or not {"names", "train"} <= content.keys():
        return None
    names = content["names"]
    names = [names[key] for key in sorted(names)] if isinstance(names, dict) else names
    if not isinstance(names, list) or not names:
        raise InputError(f"'{file}': names must list the classes, but is {names!r}.")
    parts = {}
    for split in wanted:
        if isinstance(given := content.get(split), str):
            img_dir = _place(file, str(content.get("path") or ""), given)
            above, _, below = img_dir.as_posix().rpartition("images")
            parts[split] = (img_dir, Path(f"{above}labels{below}"))
    if "train" not in parts:
        raise InputError(f"'{file}': train must name one folder of images, but is {content['train']!r}.")
    return Found(parts, tuple(str(name) for name in names), file)


def _place(file: Path, base: str, given: str) -> Path:
    """The folder that a data.yaml means; Roboflow's begin with one ``..`` too many."""
    inside = given.removeprefix("../")
    tried = [Path(base) / given, file.parent / base / given, file.parent / given, file.parent / inside]
    for path in tried:
        if path.is_absolute() and path.is_dir():
            return path.resolve()
    raise InputError(
        f"'{file}' names '{given}', but there is no such folder ({some(tried[1:], limit=3)}). "
        f"Correct the entry; it must be a folder of images."
    )


def read(found: Found, scanner: Scanner) -> tuple[dict[str, Boxes], list[str]]:
    """Boxes of each split, and notes.

    Raises:
        InputError: a line that cannot be used, an image that cannot be read, or no object at all.
    """
    notes: list[str] = []
    parts: dict[str, Boxes] = {}
    names = found.names
    rows = {split: _rows(*folders, scanner) for split, folders in found.parts.items()}
    highest = max((row[0] for part in rows.values() for _, _, lines in part for row in lines), default=-1)
    if highest < 0:
        raise InputError(f"'{found.source}' is an empty data set: no text of its labels has a line.")
    if not names:
        names = tuple(f"class_{k}" for k in range(int(highest) + 1))
        notes.append(
            f"Warning: neither a data.yaml nor a classes.txt names the classes: they are {some(names)}."
        )
    for split, (img_dir, label_dir) in found.parts.items():
        categories = [dict(id=k, name=name) for k, name in enumerate(names, start=1)]
        part = YoloBoxes(label_dir, img_dir, [], [], categories)
        for name, size, lines in rows[split]:
            _add(part, name, size, lines, len(names))
        parts[split] = part
    return parts, notes


Row = tuple[str, tuple[int, int], list[list[float]]]


def _rows(img_dir: Path, label_dir: Path, scanner: Scanner) -> list[Row]:
    """Name and size of each image, and the numbers of each line of its text; without a text there is none."""
    names = list_files(img_dir, IMAGE_SUFFIXES)
    if not names:
        raise InputError(
            f"'{img_dir}' is an empty data set: no {', '.join(IMAGE_SUFFIXES)} in it. Add images."
        )
    sizes = scanner.sizes([img_dir / name for name in names])
    texts = [label_dir / f"{os.path.splitext(name)[0]}.txt" for name in names]
    return [(name, size, _numbers(text)) for name, size, text in zip(names, sizes, texts, strict=True)]


def _numbers(text: Path) -> list[list[float]]:
    if not text.is_file():
        return []
    try:
        lines = text.read_text(encoding="utf-8-sig").splitlines()
        return [[float(word) for word in line.split()] for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot read '{text}': {error}. A line is: class x y width height.") from error


def _add(part: Boxes, name: str, size: tuple[int, int], lines: list[list[float]], classes: int) -> None:
    """Append an image and its objects to ``part``."""
    number = len(part.images) + 1
    part.images.append(dict(id=number, file_name=name, width=size[0], height=size[1]))
    for index, (label, *shares) in enumerate(lines, start=1):
        source = f"line {index} of '{os.path.splitext(name)[0]}.txt'"
        if label not in range(classes):
            raise InputError(
                f"{source}: class {label:g}, but the classes are 0 to {classes - 1}. Correct it."
            )
        polygon = len(shares) >= 6 and len(shares) % 2 == 0
        if len(shares) != 4 and not polygon:
            raise InputError(f"{source} has {len(shares) + 1} numbers. A line is: class x y width height.")
        if bad := [one for one in shares if not -_OUTSIDE <= one <= 1 + _OUTSIDE]:
            raise InputError(
                f"{source} holds {bad[0]:g}: numbers are shares of the image, 0 to 1. Divide by its size."
            )
        pixels = [value * size[place % 2] for place, value in enumerate(shares)]
        one: dict[str, Any] = dict(
            id=len(part.annotations) + 1,
            image_id=number,
            category_id=int(label) + 1,
            iscrowd=0,
            source=source,
        )
        if polygon:
            left, top = min(pixels[::2]), min(pixels[1::2])
            one |= dict(
                bbox=[left, top, max(pixels[::2]) - left, max(pixels[1::2]) - top], segmentation=[pixels]
            )
        else:
            x, y, width, height = pixels
            one |= dict(bbox=[x - width / 2, y - height / 2, width, height])
        part.annotations.append(one)
