"""Segmentation layouts: finds the folders of images and of labels of each split."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .scan import IMAGE_SUFFIXES, LABEL_SUFFIXES, list_files

LOOKED_FOR = (
    "folders images/{train,val} and labels/{train,val}, or train/images with train/labels, or train with "
    "trainannot (also: train_labels, train_masks), or images and labels alone (also: img_dir and ann_dir, "
    "masks, JPEGImages and SegmentationClass)"
)

#: CamVid as its authors hand it out: one folder of frames and one of labels, beside label_colors.txt.
CAMVID_DIRS = ("701_StillsRaw_full", "LabeledApproved_full")
IMAGE_DIRS = ("images", "image", "imgs", "img", "img_dir", "JPEGImages", "leftImg8bit", CAMVID_DIRS[0])
LABEL_DIRS = (
    *("labels", "label", "masks", "mask", "ann_dir", "annotations", "annotation"),
    *("SegmentationClass", "gtFine", "gt", "segmentation", CAMVID_DIRS[1]),
)
# What the folder of labels has after the name of the folder of images beside it, as CamVid's trainannot.
LABEL_DIR_ENDINGS = ("annot", "_annot", "_labels", "_label", "_masks", "_mask", "_gt")
SPLIT_DIRS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}

Found = tuple[Path, Path, "list[str] | None"]  # image folder, label folder, listed names


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


def find(root: Path, *, test: bool = False) -> dict[str, Found]:
    """(image folder, label folder, listed names or None) of each split; one alone is the split ``all``.

    The test split only where it is wanted.
    """
    for base in bases(root):
        for look in (_kind_first, _split_first, _side_by_side, _flat):
            found = look(base)
            if not test:
                found.pop("test", None)
            if found.keys() - {"test"}:
                if "train" not in found and "val" in found:
                    found["all"] = found.pop("val")
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
        if img_dir and label_dir and (split != "test" or _has_labels(label_dir)):
            found[split] = (img_dir, label_dir, None)
        elif (img_dir or label_dir) and split != "test":  # test images often have no labels
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


def _side_by_side(base: Path) -> dict[str, Found]:
    """``train`` and ``trainannot``."""
    found: dict[str, Found] = {}
    for split, names in SPLIT_DIRS.items():
        for name in names:
            images, labels = sub_dir(base, [name]), sub_dir(base, [name + end for end in LABEL_DIR_ENDINGS])
            if images and labels:
                found[split] = (images, labels, None)
                break
    return found


def _flat(base: Path) -> dict[str, Found]:
    """``images`` and ``labels``, perhaps with lists of names as VOC has them."""
    images, labels = sub_dir(base, IMAGE_DIRS), _label_dir(base)
    if not images or not labels:
        return {}
    found: dict[str, Found] = {}
    for split in ("train", "val", "trainval", "test"):
        for folder in ("ImageSets/Segmentation", "splits", "."):
            file = base / folder / f"{split}.txt"
            if file.is_file():
                found[split] = (images, labels, read_list(file))
                break
    if "train" in found:
        return {split: found[split] for split in ("train", "val", "test") if split in found}
    if found.keys() - {"test"}:
        whole = found.get("trainval") or found["val"]
        return {"all": whole} | ({"test": found["test"]} if "test" in found else {})
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
