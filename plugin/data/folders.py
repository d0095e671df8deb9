"""Segmentation layouts: folders of images and of labels, paired by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from .dataset import some
from .scan import IMAGE_SUFFIXES, LABEL_SUFFIXES, list_files

LOOKED_FOR = (
    "folders images/{train,val} and labels/{train,val}, or train/images with train/labels, or images and "
    "labels alone (also: img_dir and ann_dir, masks, JPEGImages and SegmentationClass)"
)

IMAGE_DIRS = ("images", "image", "imgs", "img", "img_dir", "JPEGImages", "leftImg8bit")
LABEL_DIRS = (
    *("labels", "label", "masks", "mask", "ann_dir", "annotations", "annotation"),
    *("SegmentationClass", "gtFine", "gt", "segmentation"),
)
SPLIT_DIRS = {"train": ("train", "training"), "val": ("val", "valid", "validation")}
# What images and labels may carry after their common name.
_IMAGE_ENDINGS = ("", "_leftImg8bit", "_image", "_img", "_sat")
_LABEL_ENDINGS = (
    *("", "_gtFine_labelTrainIds", "_labelTrainIds", "_mask", "_label", "_labels", "_L", "_gt", "_seg"),
    *("_segmentation", "_lab"),
)

Found = tuple[Path, Path, "list[str] | None"]  # image folder, label folder, listed names


@dataclass(frozen=True)
class Pairs:
    """Images and labels of one split: ``img_dir/name + img_suffix`` and ``label_dir/name + label_suffix``."""

    img_dir: Path
    label_dir: Path
    names: tuple[str, ...]
    img_suffix: str
    label_suffix: str
    images: tuple[Path, ...] = field(repr=False)
    labels: tuple[Path, ...] = field(repr=False)


def bases(root: Path) -> list[Path]:
    """``root`` and the year folders of a VOCdevkit in it."""
    inside = [path for pattern in ("VOCdevkit/*", "VOC*") for path in sorted(root.glob(pattern))]
    return [root, *(path for path in inside if path.is_dir())]


def sub_dir(base: Path, names: Sequence[str]) -> Path | None:
    """The first of ``names`` that is a folder in ``base``, upper or lower case."""
    there = (
        {path.name.lower(): path for path in sorted(base.iterdir()) if path.is_dir()} if base.is_dir() else {}
    )
    return next((there[name.lower()] for name in names if name.lower() in there), None)


def find(root: Path) -> dict[str, Found]:
    """(image folder, label folder, listed names or None) of each split; one alone is the split ``all``."""
    for base in bases(root):
        for look in (_kind_first, _split_first, _flat):
            found = look(base)
            if found:
                if "train" not in found and "val" in found:
                    return {"all": found["val"]}
                return found
    return {}


def _has_labels(folder: Path) -> bool:
    return bool(list_files(folder, LABEL_SUFFIXES))


def _label_dir(base: Path) -> Path | None:
    folders = [sub_dir(base, [name]) for name in LABEL_DIRS]
    return next((folder for folder in folders if folder and _has_labels(folder)), None)


def _kind_first(base: Path) -> dict[str, Found]:
    """``images/train`` and ``labels/train``."""
    images, labels = sub_dir(base, IMAGE_DIRS), _label_dir(base)
    if not images or not labels:
        return {}
    found: dict[str, Found] = {}
    for split, names in SPLIT_DIRS.items():
        img_dir, label_dir = sub_dir(images, names), sub_dir(labels, names)
        if img_dir and label_dir:
            found[split] = (img_dir, label_dir, None)
        elif img_dir or label_dir:
            raise InputError(
                f"'{img_dir or label_dir}' has no partner '{names[0]}' in '{labels if img_dir else images}'. "
                f"Each split needs a folder of images and one of labels: add it or take this one out."
            )
    return found


def _split_first(base: Path) -> dict[str, Found]:
    """``train/images`` and ``train/labels``."""
    found: dict[str, Found] = {}
    for split, names in SPLIT_DIRS.items():
        inside = sub_dir(base, names)
        if inside and (pair := _flat(inside)):
            found[split] = pair["all"]
    return found


def _flat(base: Path) -> dict[str, Found]:
    """``images`` and ``labels``, perhaps with lists of names as VOC has them."""
    images, labels = sub_dir(base, IMAGE_DIRS), _label_dir(base)
    if not images or not labels:
        return {}
    found: dict[str, Found] = {}
    for split in ("train", "val", "trainval"):
        for folder in ("ImageSets/Segmentation", "splits", "."):
            file = base / folder / f"{split}.txt"
            if file.is_file():
                found[split] = (images, labels, read_list(file))
                break
    if "train" in found:
        return {split: found[split] for split in ("train", "val") if split in found}
    if found:
        return {"all": found.get("trainval") or found["val"]}
    only_labelled = images.name == "JPEGImages"  # VOC has labels for some of its images
    return {"all": (images, labels, [] if only_labelled else None)}


def read_list(file: Path) -> list[str]:
    """The names in a split file: one per line, without image suffix.

    Raises:
        InputError: the file names nothing, or cannot be read as text.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read '{file}': {error}. Write one image name per line.") from error
    names = []
    for line in lines:
        if line.strip():
            stem, suffix = os.path.splitext(line.strip())
            names.append(stem if suffix.lower() in IMAGE_SUFFIXES else stem + suffix)
    if not names:
        raise InputError(f"'{file}' names no image. Write one image name per line, or delete the file.")
    return list(dict.fromkeys(names))


def pair(img_dir: Path, label_dir: Path, listed: list[str] | None, links: Path) -> tuple[Pairs, list[str]]:
    """Pair images with labels by their names.

    Args:
        img_dir: folder of images; folders in it are searched too.
        label_dir: folder of labels.
        listed: use these names only; empty: whatever has both; None: all must have both.
        links: folder for links to the images, used if their suffixes differ (mmseg knows one suffix).

    Raises:
        InputError: no images, an image without label, a label without image, or two of one name.
    """
    images, labels = _stems(img_dir, IMAGE_SUFFIXES), _stems(label_dir, LABEL_SUFFIXES)
    if not images:
        raise InputError(
            f"'{img_dir}' is an empty data set: no {', '.join(IMAGE_SUFFIXES)} in it. Add images."
        )
    image_ending, label_ending = _endings(images, labels)
    images = {
        stem.removesuffix(image_ending): name for stem, name in images.items() if stem.endswith(image_ending)
    }
    labels = {
        stem.removesuffix(label_ending): name for stem, name in labels.items() if stem.endswith(label_ending)
    }
    names = (
        sorted(images.keys() & labels.keys())
        if listed == []
        else (listed or sorted(images.keys() | labels.keys()))
    )
    without_label = [images[name] for name in names if name in images and name not in labels]
    without_image = [labels.get(name, name) for name in names if name not in images]
    if without_label:
        raise InputError(
            f"{len(without_label)} images of '{img_dir}' have no label in '{label_dir}': "
            f"{some(without_label)}. A label has the name of its image and is a PNG; add the "
            f"labels or take the images out."
        )
    if without_image:
        raise InputError(
            f"{len(without_image)} labels of '{label_dir}' have no image in '{img_dir}': "
            f"{some(without_image)}. A label has the name of its image; add the images or take "
            f"the labels out."
        )
    if not names:
        raise InputError(f"'{img_dir}' is an empty data set: no image of it has a label in '{label_dir}'.")
    image_files = tuple(img_dir / images[name] for name in names)
    label_files = tuple(label_dir / labels[name] for name in names)
    notes = []
    suffixes = {path.suffix for path in image_files}
    if len(suffixes) > 1:
        img_dir, suffix = _link(names, image_files, links), ".image"
        notes.append(
            f"The images have several suffixes ({some(sorted(suffixes))}); links in '{links}' give them one."
        )
    else:
        suffix = image_ending + suffixes.pop()
    label_suffix = label_ending + _one_suffix(label_dir, label_files)
    return Pairs(img_dir, label_dir, tuple(names), suffix, label_suffix, image_files, label_files), notes


def _stems(folder: Path, suffixes: Sequence[str]) -> dict[str, str]:
    files = list_files(folder, suffixes)
    stems = {os.path.splitext(name)[0]: name for name in files}
    if len(stems) < len(files):
        twice = [name for name in files if stems[os.path.splitext(name)[0]] != name]
        raise InputError(
            f"'{folder}' has several files that differ in the suffix only, as {some(twice)}. "
            f"Keep one of each."
        )
    return stems


def _endings(images: dict[str, str], labels: dict[str, str]) -> tuple[str, str]:
    """The endings of image and label names with which most of them form pairs."""
    best, most = ("", ""), 0
    for image_ending in _IMAGE_ENDINGS:
        cut = {stem.removesuffix(image_ending) for stem in images if stem.endswith(image_ending)}
        for label_ending in _LABEL_ENDINGS:
            count = sum(name + label_ending in labels for name in cut)
            if count > most:
                best, most = (image_ending, label_ending), count
    return best


def _one_suffix(folder: Path, files: Sequence[Path]) -> str:
    suffixes = sorted({path.suffix for path in files})
    if len(suffixes) > 1:
        raise InputError(
            f"The labels in '{folder}' have several suffixes: {some(suffixes)}. Save all as .png."
        )
    return suffixes[0]


def _link(names: Sequence[str], files: Sequence[Path], links: Path) -> Path:
    for name, file in zip(names, files, strict=True):
        link = links / f"{name}.image"
        part = link.with_name(f"{link.name}.{os.getpid()}")  # replaced in one step: others may do the same
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            part.symlink_to(file.resolve())
            os.replace(part, link)
        except OSError as error:
            raise InputError(
                f"Cannot write the link '{link}': {error.strerror}. Choose another work folder, or save all "
                f"images with one suffix."
            ) from error
    return links
