"""Pairs images with labels by their names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from .dataset import some
from .scan import IMAGE_SUFFIXES, LABEL_SUFFIXES, list_files

LINK_SUFFIX = ".image"  # of links to images; OpenCV and Pillow tell the kind by content
# What images and labels may carry after their common name.
_IMAGE_ENDINGS = ("", "_leftImg8bit", "_image", "_img", "_sat")
_LABEL_ENDINGS = (
    *(
        "",
        "_gtFine_labelTrainIds",
        "_gtFine_labelIds",
        "_labelTrainIds",
        "_mask",
        "_label",
        "_labels",
        "_L",
        "_gt",
        "_seg",
    ),
    *("_segmentation", "_lab"),
)


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
    images, labels = _cut(images, image_ending), _cut(labels, label_ending)
    if listed == []:
        names = sorted(images.keys() & labels.keys())
    else:
        names = listed or sorted(images.keys() | labels.keys())
    _check_partners(img_dir, label_dir, images, labels, names)
    if lost := [name for name in names if not _is_line(name)]:
        raise InputError(
            f"{len(lost)} names in '{img_dir}' cannot stand in a list, one a line: {some(map(ascii, lost))}. "
            f"They begin or end with a space, hold a line break, or are no Unicode. Rename image and label."
        )
    image_files = tuple(img_dir / images[name] for name in names)
    label_files = tuple(label_dir / labels[name] for name in names)
    label_suffix = label_ending + _one_suffix(label_dir, label_files)
    notes = []
    suffixes = sorted({path.suffix for path in image_files})
    img_suffix = image_ending + suffixes[0]
    if len(suffixes) > 1:
        img_dir, img_suffix = _link(names, image_files, links), LINK_SUFFIX
        notes.append(
            f"The images have several suffixes ({some(suffixes)}); links in '{links}' give them one."
        )
    return Pairs(img_dir, label_dir, tuple(names), img_suffix, label_suffix, image_files, label_files), notes


def _is_line(name: str) -> bool:
    """Whether a name comes back from a text file as mmseg reads it: a stripped line each."""
    broken = name != name.strip() or "\n" in name or "\r" in name
    return not broken and name.encode(errors="ignore").decode() == name


def _cut(stems: dict[str, str], ending: str) -> dict[str, str]:
    return {stem.removesuffix(ending): name for stem, name in stems.items() if stem.endswith(ending)}


def _check_partners(
    img_dir: Path, label_dir: Path, images: dict[str, str], labels: dict[str, str], names: Sequence[str]
) -> None:
    without_label = [images[name] for name in names if name in images and name not in labels]
    without_image = [labels.get(name, name) for name in names if name not in images]
    if without_label:
        raise InputError(
            f"{len(without_label)} images of '{img_dir}' have no label in '{label_dir}': "
            f"{some(without_label)}. A label has the name of its image and is a PNG; add the labels or take "
            f"the images out."
        )
    if without_image:
        raise InputError(
            f"{len(without_image)} labels of '{label_dir}' have no image in '{img_dir}': "
            f"{some(without_image)}. A label has the name of its image; add the images or take the "
            f"labels out."
        )
    if not names:
        raise InputError(f"'{img_dir}' is an empty data set: no image of it has a label in '{label_dir}'.")


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
        link = links / f"{name}{LINK_SUFFIX}"
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
