"""Pascal VOC layout, read as COCO.

VOC counts pixels from 1 and includes both ends: a box becomes x = xmin - 1, y = ymin - 1,
width = xmax - xmin + 1, height = ymax - ymin + 1. If any xmin or ymin of the data set is below 1,
it was written with pixels counted from 0, ends excluded: x = xmin, width = xmax - xmin.
Objects marked difficult become ``iscrowd``: neither trained on nor counted as missed, as in mmdet.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from ..errors import InputError
from .coco import Boxes
from .dataset import some
from .folders import bases, read_list, sub_dir
from .labels import read_classes
from .scan import IMAGE_SUFFIXES, list_files

LOOKED_FOR = "Pascal VOC: JPEGImages/ and Annotations/*.xml, perhaps with ImageSets/Main/{train,val,test}.txt"
_IMAGE_DIRS, _XML_DIRS = ("JPEGImages", "images"), ("Annotations", "annotation", "xml")


def find(root: Path) -> Path | None:
    """The folder that holds ``JPEGImages`` and ``Annotations/*.xml``, if there is one.

    Raises:
        InputError: there are several.
    """
    found = []
    for base in bases(root):
        xml_dir = sub_dir(base, _XML_DIRS)
        if xml_dir and sub_dir(base, _IMAGE_DIRS) and list_files(xml_dir, (".xml",)):
            found.append(base)
    if len(found) > 1:
        names = some(base.relative_to(root) for base in found)
        raise InputError(f"'{root}' holds several VOC data sets: {names}. Give the folder of one of them.")
    return found[0] if found else None


class VocBoxes(Boxes):
    """Boxes read from XML files; messages name file and object."""

    def where(self, annotation: dict[str, Any]) -> str:
        return str(annotation["source"])


def read(base: Path, *, test: bool = False) -> tuple[dict[str, Boxes], list[str]]:
    """Boxes of each split (``train`` and ``val``, ``train`` or ``all`` alone; ``test`` if wanted) and notes.

    Raises:
        InputError: an XML file is broken or lacks something, or an image is missing.
    """
    img_dir, xml_dir = sub_dir(base, _IMAGE_DIRS), sub_dir(base, _XML_DIRS)
    if img_dir is None or xml_dir is None:
        raise InputError(f"'{base}' is not a VOC data set. Looked for {LOOKED_FOR}.")
    splits = _splits(base)
    held_out = set(splits.get("test", ()))
    if not test:
        splits.pop("test", None)
    if not splits.keys() - {"test"}:
        every = [name.removesuffix(".xml") for name in list_files(xml_dir, (".xml",))]
        splits = {"all": [name for name in every if name not in held_out], **splits}
    names = list(dict.fromkeys(name for stems in splits.values() for name in stems))
    trees = {name: _parse(xml_dir / f"{name}.xml") for name in names}
    notes: list[str] = []
    if held_out and not test:
        notes.append(f"The {len(held_out)} images of test.txt are a test split and are not used.")
    classes = _classes(base, trees)
    if not classes:
        raise InputError(f"'{xml_dir}' is an empty data set: none of its {len(trees)} files has an <object>.")
    first_pixel = 1 if _lowest(trees) >= 1 else 0
    if first_pixel == 0:
        notes.append("Boxes begin at pixel 0, so they were read as counted from 0, not from 1 as VOC does.")
    images = {Path(name).with_suffix("").as_posix(): name for name in list_files(img_dir, IMAGE_SUFFIXES)}
    parts: dict[str, Boxes] = {}
    for split, stems in splits.items():
        part = VocBoxes(
            xml_dir, img_dir, [], [], [dict(id=k, name=name) for k, name in enumerate(classes, start=1)]
        )
        for stem in stems:
            _add(part, stem, trees[stem], images, classes, first_pixel)
        parts[split] = part
    if difficult := sum(annotation["iscrowd"] for part in parts.values() for annotation in part.annotations):
        notes.append(f"{difficult} objects marked difficult are neither trained on nor counted as missed.")
    return parts, notes


def _splits(base: Path) -> dict[str, list[str]]:
    folder = base / "ImageSets" / "Main"
    found = {
        name: read_list(folder / f"{name}.txt")
        for name in ("train", "val", "trainval", "test")
        if (folder / f"{name}.txt").is_file()
    }
    if "train" in found:
        return {split: found[split] for split in ("train", "val", "test") if split in found}
    whole = found.get("trainval") or found.get("val")
    tests = {"test": found["test"]} if "test" in found else {}
    return {"all": whole, **tests} if whole else tests


def _parse(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(file).getroot()
    except FileNotFoundError:
        raise InputError(
            f"ImageSets names '{file.stem}', but there is no '{file}'. Add it or drop the name."
        ) from None
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"'{file}' is not readable as XML: {error}. Export it once more.") from error


def _corner(element: ElementTree.Element | None, tag: str) -> float:
    text = element.findtext(f"bndbox/{tag}") if element is not None else None
    try:
        return float(text or "")
    except ValueError:
        return float("nan")  # reported with its file when the box is checked


def _pixels(tree: ElementTree.Element, tag: str, stem: str) -> int:
    """A size; 0 if it is not written."""
    text = tree.findtext(tag) or "0"
    try:
        return int(float(text))
    except ValueError:
        raise InputError(f"'{stem}.xml': <{tag}> is {text!r}, not a number of pixels. Correct it.") from None


def _lowest(trees: dict[str, ElementTree.Element]) -> float:
    corners = (
        _corner(one, tag)
        for tree in trees.values()
        for one in tree.findall("object")
        for tag in ("xmin", "ymin")
    )
    return min((value for value in corners if value == value), default=1)


def _classes(base: Path, trees: dict[str, ElementTree.Element]) -> tuple[str, ...]:
    """The names of classes.txt, or all names that occur, in alphabetical order (which is VOC's own)."""
    file = next((base / name for name in ("classes.txt", "classes.json") if (base / name).is_file()), None)
    named, _ = read_classes(file)
    used = sorted(
        {(one.findtext("name") or "").strip() for tree in trees.values() for one in tree.findall("object")}
    )
    if not named:
        return tuple(used)
    unknown = [name for name in used if name not in named]
    if unknown:
        raise InputError(
            f"Objects are named {some(unknown)}, which '{file}' does not list. Add the names to it."
        )
    return named


def _add(
    part: Boxes,
    stem: str,
    tree: ElementTree.Element,
    images: dict[str, str],
    classes: tuple[str, ...],
    first_pixel: int,
) -> None:
    """Append the image and the objects of one XML file to ``part``."""
    number = len(part.images) + 1
    size = [_pixels(tree, f"size/{tag}", stem) for tag in ("width", "height")]
    name = images.get(stem) or (tree.findtext("filename") or f"{stem}.jpg").strip()
    part.images.append(dict(id=number, file_name=name, width=size[0], height=size[1]))
    for index, one in enumerate(tree.findall("object"), start=1):
        x0, y0, x1, y1 = (_corner(one, tag) for tag in ("xmin", "ymin", "xmax", "ymax"))
        label = (one.findtext("name") or "").strip()
        if not label:
            raise InputError(f"'{stem}.xml': object {index} has no <name>. Add it.")
        part.annotations.append(
            dict(
                id=len(part.annotations) + 1,
                image_id=number,
                category_id=classes.index(label) + 1,
                bbox=[x0 - first_pixel, y0 - first_pixel, x1 - x0 + first_pixel, y1 - y0 + first_pixel],
                iscrowd=int((one.findtext("difficult") or "0").strip() == "1"),
                source=f"object {index} ({label}) of '{stem}.xml'",
            )
        )
