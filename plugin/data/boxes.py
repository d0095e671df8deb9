"""Checks boxes against their images, mends what is harmless in a copy, and writes the splits."""

from __future__ import annotations

import dataclasses
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .categories import only, repeated, same_order, without_groups
from .coco import Boxes, is_id
from .dataset import DataSet, Layout, Split, make_palette, some, split_off, write_cache
from .scan import Scanner, Work

_ROUNDING = 0.01  # pixels that a box may reach out of its image by rounding of decimals


def finish(
    root: Path,
    layout: Layout,
    parts: dict[str, Boxes],
    notes: Sequence[str],
    work: Work,
    classes: Sequence[str] = (),
) -> DataSet:
    """Check ``parts`` (``train`` and ``val``, or ``train`` or ``all`` alone; ``test``) and make one of them.

    Of ``classes``, where given, in their order.

    Raises:
        InputError: images or annotations that cannot be used; the message names them.
    """
    said = list(notes)
    checked = {split: _check(part, work.scanner, said) for split, part in parts.items()}
    if "val" in checked:
        train, val = checked["train"], checked["val"]
    else:
        whole = checked.get("train") or checked["all"]
        train, val = _divide(whole, work, said)
    train, *others = without_groups([train, val, *filter(None, [checked.get("test")])], said)
    split_parts = [train, *(same_order(train, other, said)[1] for other in others)]
    if classes:
        split_parts = only(split_parts, classes, said)
    train, val = split_parts[:2]
    for part, split in zip(split_parts, ("training", "validation", "test"), strict=False):
        if not part.annotations:
            raise InputError(
                f"'{part.source}' is an empty data set: none of its {len(part.images)} {split} images has an "
                f"object. Annotate some."
            )
    if empty := len(train.images) - len({annotation["image_id"] for annotation in train.annotations}):
        said.append(f"{empty} training images have no object and are left out.")
    twice = {_path(train, image) for image in train.images} & {_path(val, image) for image in val.images}
    if twice:
        said.append(f"{len(twice)} images are in both splits, so validation figures will look too good.")
    names = tuple(category["name"] for category in train.categories)
    rest = [_split(part, work.cache / "test.json") for part in split_parts[2:]]
    return DataSet(
        root=root,
        task="detection",
        layout=layout,
        classes=names,
        palette=make_palette(names),
        train=_split(train, work.cache / "train.json"),
        val=_split(val, work.cache / "val.json"),
        notes=tuple(said),
        has_masks=all(
            _is_mask(annotation.get("segmentation")) or annotation["iscrowd"]
            for part in split_parts
            for annotation in part.annotations
        ),
        test=rest[0] if rest else None,
        frequencies=_frequencies(train),
    )


def _frequencies(part: Boxes) -> tuple[float, ...]:
    """For each class its share of the images."""
    pairs = {(one["category_id"], one["image_id"]) for one in part.annotations}
    counts = Counter(category for category, _ in pairs)
    return tuple(counts[one["id"]] / len(part.images) for one in part.categories)


def _path(part: Boxes, image: dict[str, Any]) -> Path:
    return part.img_dir / image["file_name"]


def _split(part: Boxes, target: Path) -> Split:
    file = part.file
    if file is None:
        keys = ("info", "images", "annotations", "categories")
        file = write_cache(target, {key: getattr(part, key) for key in keys})
    return Split(part.img_dir, file, None, len(part.images))


def _refuse(source: Path, problems: Sequence[str], what: str, step: str) -> None:
    if problems:
        more = f" ... and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(f"'{source}': {len(problems)} {what}: {'; '.join(problems[:3])}{more}. {step}")


def _check(part: Boxes, scanner: Scanner, notes: list[str]) -> Boxes:
    """``part`` with sizes, areas and crowd flags complete and boxes inside their images."""
    images = _check_images(part, scanner)
    ids = [category.get("id") for category in part.categories]
    if not ids or not all(
        is_id(one.get("id")) and isinstance(one.get("name"), str) for one in part.categories
    ):
        raise InputError(
            f"'{part.source}': 'categories' must list at least one category, each with an 'id' and a 'name' "
            f"(text), but holds {some(part.categories) or 'nothing'}. Export it once more as COCO json."
        )
    if twice := repeated(ids):
        raise InputError(f"'{part.source}': two categories have the id {some(twice)}. Number them anew.")
    annotations, changed = _check_annotations(part, images, set(ids), notes)
    changed = changed or images != part.images
    return dataclasses.replace(
        part, images=images, annotations=annotations, file=None if changed else part.file
    )


def _check_images(part: Boxes, scanner: Scanner) -> list[dict[str, Any]]:
    step = "Put the files there, or take the images out of the annotations."
    if twice := repeated(image["id"] for image in part.images):
        raise InputError(f"'{part.source}': two images have the id {some(twice)}. Number them anew.")
    lost = [image["file_name"] for image in part.images if not os.path.isfile(_path(part, image))]
    if lost:
        raise InputError(
            f"'{part.source}' names {len(lost)} of {len(part.images)} images that are missing in "
            f"'{part.img_dir}': {some(lost)}. {step}"
        )
    sizes = scanner.sizes([_path(part, image) for image in part.images])
    problems = []
    for image, (width, height) in zip(part.images, sizes, strict=True):
        said = (image.get("width") or width, image.get("height") or height)
        if said != (width, height):
            problems.append(f"'{image['file_name']}' is {width}x{height}, not {said[0]}x{said[1]} as written")
    _refuse(part.source, problems, "image sizes do not fit the files", "Correct width and height there.")
    return [
        {**image, "width": width, "height": height}
        for image, (width, height) in zip(part.images, sizes, strict=True)
    ]


def _check_annotations(
    part: Boxes, images: list[dict[str, Any]], categories: set[Any], notes: list[str]
) -> tuple[list[dict[str, Any]], bool]:
    """Complete copies of the annotations, and whether any differs from what the file says."""
    known: dict[Any, dict[str, Any]] = {image["id"]: image for image in images}
    problems, fixed = [], []
    clipped = tiny = slivers = 0
    for number, annotation in enumerate(part.annotations, start=1):
        annotation = {"id": number, **annotation}
        image = known.get(annotation["image_id"]) if is_id(annotation.get("image_id")) else None
        if _is_sliver(annotation):
            slivers += 1
            continue
        problem = _problem(annotation, image, categories)
        if problem or image is None:
            problems.append(f"{part.where(annotation)}{problem}")
            continue
        box = _clip(annotation["bbox"], image["width"], image["height"])
        clipped += box != annotation["bbox"]
        tiny += min(box[2:]) < 1
        area = annotation.get("area") or 0
        if area <= 0 or (box != annotation["bbox"] and not annotation.get("segmentation")):
            area = box[2] * box[3]
        fixed.append({**annotation, "bbox": box, "area": area, "iscrowd": annotation.get("iscrowd") or 0})
    step = "Correct or delete these annotations."
    _refuse(part.source, problems, f"of {len(part.annotations)} annotations cannot be used", step)
    if twice := repeated(annotation["id"] for annotation in fixed):
        raise InputError(
            f"'{part.source}': {len(twice)} annotation ids occur twice: {some(twice)}. Number them anew."
        )
    name = part.source.name
    if clipped:
        notes.append(f"{clipped} boxes of '{name}' that reach out of their images were clipped, in a copy.")
    if slivers:
        notes.append(
            f"{slivers} objects of '{name}' whose boxes have no width or height were left out, in a copy."
        )
    if fixed and tiny == len(fixed):
        raise InputError(
            f"'{part.source}': all {tiny} boxes are smaller than a pixel, such as {fixed[0]['bbox']}. Boxes "
            f"are [x, y, width, height] in pixels; multiply shares of the image (0 to 1) by its width "
            f"and height."
        )
    if tiny:
        notes.append(f"{tiny} boxes of '{name}' are smaller than a pixel; training leaves them out.")
    return fixed, fixed != part.annotations


def _problem(annotation: dict[str, Any], image: dict[str, Any] | None, categories: set[Any]) -> str:
    """Why an annotation cannot be used; empty if it can."""
    if image is None:
        return f" names the image id {annotation.get('image_id')!r}, which is missing in 'images'"
    place = f" of image '{image['file_name']}'"
    if not is_id(annotation.get("category_id")) or annotation["category_id"] not in categories:
        return f"{place} has the category id {annotation.get('category_id')!r}, which no category has"
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        return f"{place}: box {box!r} is not [x, y, width, height] in pixels"
    x, y, width, height = box
    if width <= 0 or height <= 0:
        return f"{place}: box {box} has zero or negative size"
    if x >= image["width"] or y >= image["height"] or x + width <= 0 or y + height <= 0:
        return f"{place}: box {box} lies outside the image ({image['width']}x{image['height']})"
    for key in ("area", "iscrowd"):
        if annotation.get(key) is not None and not isinstance(annotation[key], (int, float)):
            return f"{place}: {key} {annotation[key]!r} is no number"
    return ""


def _is_mask(mask: object) -> bool:
    """Whether it has the form of a COCO mask: polygons of numbers, or run lengths with their size."""
    if isinstance(mask, dict):
        return isinstance(mask.get("counts"), (str, list)) and isinstance(mask.get("size"), list)
    polygons = mask if isinstance(mask, list) else []
    return bool(polygons) and all(isinstance(one, list) and all(map(_is_number, one)) for one in polygons)


def _is_sliver(annotation: dict[str, Any]) -> bool:
    """A mask so thin that its box has size zero, as annotations 918 and 2206849 of COCO train2017."""
    box = annotation.get("bbox")
    thin = (
        bool(annotation.get("segmentation")) and _is_number(annotation.get("area")) and annotation["area"] < 1
    )
    return thin and isinstance(box, list) and len(box) == 4 and 0 in box[2:]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _clip(box: list[float], width: int, height: int) -> list[float]:
    x0, y0 = max(box[0], 0), max(box[1], 0)
    x1, y1 = min(box[0] + box[2], width), min(box[1] + box[3], height)
    clipped = [x0, y0, x1 - x0, y1 - y0]
    return clipped if any(abs(a - b) > _ROUNDING for a, b in zip(clipped, box, strict=True)) else box


def _divide(whole: Boxes, work: Work, notes: list[str]) -> tuple[Boxes, Boxes]:
    images = sorted(whole.images, key=lambda image: image["file_name"])
    indices = split_off(len(images), work.val_fraction, work.seed, f"'{whole.source}'")
    parts = []
    for chosen in indices:
        mine = [images[index] for index in chosen]
        ids = {image["id"] for image in mine}
        annotations = [one for one in whole.annotations if one["image_id"] in ids]
        parts.append(dataclasses.replace(whole, images=mine, annotations=annotations, file=None))
    notes.append(
        f"There is no validation split: {len(indices[1])} of {len(images)} images were split off for "
        f"validation (seed {work.seed})."
    )
    return parts[0], parts[1]
