"""What is in a data set: counts by class, sizes of images and objects, what looks wrong, pictures."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..data.dataset import IGNORE_LABEL, DataSet, Split, some
from ..data.scan import Scanner
from . import draw
from .images import open_image

#: Objects below these areas are small and medium, in pixels: as COCO's evaluation has it.
_SMALL, _MEDIUM = 32**2, 96**2
_FEW = 10  # objects of a class, below which little is learned
_RARE = 100  # times rarer than the most frequent class


@dataclass
class Part:
    """One split as it was read.

    Attributes:
        files: image files.
        sizes: (width, height) of each.
        images: by class, how many images have it.
        amounts: by class, its objects, or for segmentation its pixels.
        sides: detection: (width, height) of each object.
        truths: detection: of each image its (box x y w h, class index) pairs; segmentation: its label file.
    """

    files: list[Path]
    sizes: list[tuple[int, int]]
    images: Counter[str] = field(default_factory=Counter)
    amounts: Counter[str] = field(default_factory=Counter)
    sides: list[tuple[float, float]] = field(default_factory=list)
    truths: list[Any] = field(default_factory=list)


def read_parts(data: DataSet, scanner: Scanner) -> dict[str, Part]:
    """Each split of ``data``; what it reads of the files ``scanner`` remembers."""
    splits = {"train": data.train, "val": data.val, "test": data.test}
    read = _boxes if data.task == "detection" else _labels
    return {name: read(data, split, scanner) for name, split in splits.items() if split is not None}


def _boxes(data: DataSet, split: Split, scanner: Scanner) -> Part:
    content = json.loads(Path(str(split.ann_file)).read_bytes())
    images = content["images"]
    part = Part(
        [split.img_dir / one["file_name"] for one in images],
        [(one["width"], one["height"]) for one in images],
    )
    names = {one["id"]: one["name"] for one in content["categories"]}
    truths: dict[Any, list[tuple[Any, int]]] = defaultdict(list)
    for one in content["annotations"]:
        name = names[one["category_id"]]
        part.amounts[name] += 1
        part.sides.append((one["bbox"][2], one["bbox"][3]))
        truths[one["image_id"]].append((one["bbox"], data.classes.index(name)))
    part.truths = [truths[one["id"]] for one in images]
    for found in part.truths:
        part.images.update({data.classes[label] for _, label in found})
    return part


def _labels(data: DataSet, split: Split, scanner: Scanner) -> Part:
    names = Path(str(split.ann_file)).read_text(encoding="utf-8").split("\n")[:-1]
    labels = [Path(str(split.label_dir)) / (name + split.label_suffix) for name in names]
    read = scanner.labels(labels)
    part = Part([split.img_dir / (name + split.img_suffix) for name in names], [size for size, _ in read])
    for _, counts in read:
        for value, pixels in counts.items():
            index = data.label_map.get(value, value)
            if index != IGNORE_LABEL:
                part.amounts[data.classes[index]] += pixels
        indices = {data.label_map.get(value, value) for value in counts} - {IGNORE_LABEL}
        part.images.update(data.classes[index] for index in indices)
    part.truths = list(labels)
    return part


def doubts(data: DataSet, parts: dict[str, Part]) -> list[str]:
    """What looks wrong, one sentence each."""
    train = parts["train"]
    said = []
    unit = "objects" if data.task == "detection" else "pixels"
    for name, part in parts.items():
        if absent := [one for one in data.classes if not part.images[one]]:
            said.append(f"The {name} split has none of {some(absent, limit=8)}.")
    if data.task == "detection":
        few = [one for one in data.classes if 0 < train.amounts[one] < _FEW]
        if few:
            said.append(f"Fewer than {_FEW} training objects: {some(few, limit=8)}.")
    most = max(train.amounts.values(), default=0)
    rare = [one for one in data.classes if 0 < train.amounts[one] * _RARE <= most]
    if rare:
        said.append(
            f"More than {_RARE} times fewer {unit} than the most frequent class: {some(rare, limit=8)}; see "
            f"train --class-balance."
        )
    tiny = sum(min(side) < 4 for side in train.sides)
    if tiny:
        said.append(f"{tiny} training objects are narrower than 4 pixels.")
    for first, second in _copies({name: part.files for name, part in parts.items()}):
        said.append(f"'{second}' is a copy of '{first}'.")
    return said


def _copies(files: dict[str, list[Path]], limit: int = 5) -> Iterable[tuple[str, str]]:
    """Files of one content; only those of one length are read."""
    by_length: dict[int, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(path for part in files.values() for path in part):
        by_length[path.stat().st_size].append(path)
    found = 0
    seen: dict[str, Path] = {}
    for paths in by_length.values():
        for path in paths if len(paths) > 1 else ():
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            first = seen.setdefault(digest, path)
            if first != path and found < limit:
                found += 1
                yield str(first), str(path)


def object_sizes(part: Part) -> dict[str, int]:
    """How many objects are small, medium and large, as COCO's evaluation calls them."""
    areas = np.array([width * height for width, height in part.sides])
    small, medium = int((areas < _SMALL).sum()), int((areas < _MEDIUM).sum())
    return {"small": small, "medium": medium - small, "large": len(areas) - medium}


def spread(values: Iterable[float]) -> str:
    """``least, median, most``."""
    found = np.sort(np.array(list(values)))
    return f"{found[0]:g}, {found[len(found) // 2]:g}, {found[-1]:g}" if len(found) else "none"


def write_grid(path: Path, data: DataSet, part: Part, count: int = 9, side: int = 360) -> Path:
    """Draw images of a split, spread evenly over it, with what is true in them."""
    pictures = []
    for index in np.linspace(0, len(part.files) - 1, min(count, len(part.files))).astype(int):
        image = open_image(part.files[index])
        zoom = side / max(image.size)
        if data.task == "detection":
            boxes = np.array([box for box, _ in part.truths[index]], float).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            labels = [label for _, label in part.truths[index]]
            pictures.append(draw.draw_boxes(image, boxes, labels, data.classes, data.palette, zoom=zoom))
        else:
            table = np.arange(IGNORE_LABEL + 1)
            for old, new in data.label_map.items():
                table[old] = new
            with Image.open(part.truths[index]) as file:
                pictures.append(draw.draw_labels(image, table[np.asarray(file)], data.palette, zoom))
    rows = [pictures[start : start + 3] for start in range(0, len(pictures), 3)]
    legend = list(zip(data.classes, data.palette, strict=True))
    draw.grid(rows, [data.root.name], legend).save(path)
    return path
