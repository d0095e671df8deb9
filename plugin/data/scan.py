"""Reads the sizes of images and the values of labels, many files at a time, and remembers them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError
from .dataset import some, write_cache
from .stacks import STACK_SUFFIX, stack_shape

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", STACK_SUFFIX)
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")  # lossless ones

Progress = Callable[[str, int, int], None]
#: What Pillow raises for files that it cannot read.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF tag, and its values that swap width and height
_LAST_BYTES = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def list_files(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Names relative to ``folder``, sorted, of all files in it and below with one of ``suffixes``.

    Links are followed, but into no folder twice: one may lead back to where it is.
    """
    found, seen = [], {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, followlinks=True):
        into = {name: os.path.realpath(os.path.join(parent, name)) for name in sorted(folders)}
        folders[:] = [name for name in into if not name.startswith(".") and into[name] not in seen]
        seen.update(into.values())
        inside = os.path.relpath(parent, folder)
        for name in names:
            if name.lower().endswith(tuple(suffixes)) and not name.startswith("."):
                found.append(name if inside == "." else f"{inside}/{name}".replace(os.sep, "/"))
    return sorted(found)


def read_size(path: Path) -> list[Any]:
    """[width, height, remark, channels] of an image, in pixels as OpenCV shows it (turned by its EXIF data).

    Channels are those of a file that is read as it is (:mod:`.stacks`), None of a photo. Only the header is
    read, and the end of the file: if that is missing, the whole image.

    Raises:
        ValueError: with the reason why it is no readable image.
    """
    size = path.stat().st_size
    if size == 0:
        raise ValueError("the file is empty (0 bytes)")
    if (shape := stack_shape(path)) is not None:
        return [shape[1], shape[0], "", shape[2]]
    with Image.open(path) as image:
        width, height = image.size
        if "exif" in image.info and image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        ending = _LAST_BYTES.get(image.format or "")
        if ending and ending not in _tail(path, size):
            image.load()  # raises if the image is cut off
        return [width, height, remark_on(image), None]


def remark_on(image: Image.Image) -> str:
    """What of an opened image is lost when mmcv loads it by default (8 bits, 3 channels); '' for nothing.

    Raises:
        ValueError: it cannot be loaded at all.
    """
    raw = str(image.tile[0][3]) if image.tile else ""
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # a phone's JPEG has a small copy
    if ";16" in raw or image.mode.startswith("I;16"):
        shift = 8 if image.mode.startswith("I") else 0  # Pillow reads 16-bit colours by their upper 8 bits
        if int(np.asarray(image).max()) >> shift < 16:
            return (
                "16 bits a channel but no value above 4095: loading keeps the upper 8 bits, so next to "
                "nothing is left. Save with 8 bits a channel, values divided by 16"
            )
        return "16 bits a channel: loading keeps the upper 8"
    if image.mode in ("F", "I"):
        raise ValueError(
            f"it has 32 bits a channel (Pillow's mode {image.mode}), which mmcv does not load; save it with "
            f"8 bits a channel"
        )
    if frames > 1:
        return f"{frames} frames: loading keeps the first"
    if image.mode == "RGBA" and image.format == "TIFF":
        return "an alpha channel (RGBA) in a TIFF: loading multiplies colours by it"
    if image.mode in ("RGBA", "LA"):
        return f"an alpha channel ({image.mode}): loading drops it"
    return ""


def _tail(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, size - 64))
        return file.read()


def read_label(path: Path) -> list[Any]:
    """[width, height, counts]: size of a label image in pixels, and [value, pixels] of each in it, rising.

    Raises:
        ValueError: with the reason why it is no readable label.
    """
    if path.stat().st_size == 0:
        raise ValueError("the file is empty (0 bytes)")
    with Image.open(path) as image:
        if image.mode not in _ONE_CHANNEL:
            raise ValueError(
                f"it has colours ({image.mode}), but a label holds one class index per pixel in one channel"
            )
        if image.mode in ("L", "P"):
            counts = [[value, count] for value, count in enumerate(image.histogram()[:256]) if count]
        else:
            found = np.unique(np.asarray(image), return_counts=True)
            counts = np.stack(found, 1).astype(int).tolist()
        return [*image.size, counts]


class Scanner:
    """Reads facts about files in parallel; files that did not change are read once only.

    Args:
        cache_dir: folder of the file that remembers the facts.
        progress: called with (what is read, files done, files in all).
    """

    def __init__(self, cache_dir: Path, progress: Progress | None = None) -> None:
        self._file = cache_dir / "facts4.json"  # the number rises when other facts are remembered
        self._progress = progress
        self._known: dict[str, dict[str, Any]] = {}
        self._remarks: dict[str, set[Path]] = {}
        self._channels: dict[int | None, Path] = {}  # one file of each number
        if self._file.is_file():
            try:
                self._known = json.loads(self._file.read_text())
            except ValueError:  # cut off or edited: only a cache, so it is read anew
                self._known = {}

    def sizes(self, paths: Sequence[Path]) -> list[tuple[int, int]]:
        """(width, height) of each image.

        Raises:
            InputError: some images are missing, empty, corrupt or cut off; the message names them.
        """
        found = self._read("images", read_size, paths)
        for path, (_, _, remark, channels) in zip(paths, found, strict=True):
            self._channels.setdefault(channels, path)
            if remark:
                self._remarks.setdefault(remark, set()).add(path)
        return [(width, height) for width, height, *_ in found]

    def channels(self) -> int | None:
        """How many channels the images have that are read as they are; None of photos.

        Raises:
            InputError: they have different numbers, or photos are among them; the message names some.
        """
        if len(self._channels) > 1:
            kinds = ", ".join(
                f"'{path}' is a photo" if count is None else f"'{path}' has {count} channels"
                for count, path in sorted(self._channels.items(), key=lambda pair: pair[0] or 0)
            )
            raise InputError(
                f"The images of a data set must have the same channels, but {kinds}. Save all alike, or take "
                f"the others out."
            )
        return next(iter(self._channels), None)

    def notes(self) -> list[str]:
        """What of the images is lost in loading, one sentence for each kind of loss."""
        return [
            f"Warning: {len(paths)} images have {remark} ({some(sorted(path.name for path in paths))}), "
            f"unless the config's LoadImageFromFile says otherwise."
            for remark, paths in self._remarks.items()
        ]

    def labels(self, paths: Sequence[Path]) -> list[tuple[tuple[int, int], dict[int, int]]]:
        """((width, height), pixels of each value that occurs) of each label image.

        Raises:
            InputError: some labels are missing, corrupt or have colours; the message names them.
        """
        found = self._read("labels", read_label, paths)
        return [((width, height), dict(counts)) for width, height, counts in found]

    def _read(self, what: str, read: Callable[[Path], list[Any]], paths: Sequence[Path]) -> list[list[Any]]:
        known = self._known.setdefault(what, {})

        def look(path: Path) -> list[Any] | str:
            try:
                stat = path.stat()
                stamp = [stat.st_size, stat.st_mtime_ns]
                if (old := known.get(str(path))) and old[:2] == stamp:
                    return old
                return stamp + read(path)
            except UNREADABLE as error:
                return reason_of(error)

        facts: list[list[Any]] = []
        problems: list[str] = []
        pool = ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1)))
        try:
            for done, (path, found) in enumerate(zip(paths, pool.map(look, paths), strict=True), start=1):
                if isinstance(found, str):
                    problems.append(f"'{path}': {found}")
                else:
                    known[str(path)] = found
                    facts.append(found)
                if self._progress:
                    self._progress(what, done, len(paths))
        finally:
            pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for thousands of files
        if problems:
            more = f" ... and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise InputError(
                f"{len(problems)} of {len(paths)} {what} cannot be used: {'; '.join(problems[:3])}{more}. "
                f"Replace these files or take them out of the data set."
            )
        write_cache(self._file, self._known)
        return [found[2:] for found in facts]


@dataclass(frozen=True)
class Work:
    """What recognising a data set needs beside the data.

    Attributes:
        cache: folder for all that is written.
        scanner: reads the files.
        val_fraction: part of the images that is split off if there is no validation split.
        seed: seed of that split.
    """

    cache: Path
    scanner: Scanner
    val_fraction: float
    seed: int


def reason_of(error: Exception) -> str:
    """Why a file cannot be used, in the user's words."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is not an image (corrupt, or of an unknown kind)"
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        return (
            f"it has more than {most} megapixels, the most that is read; scale it down, or cut it into tiles"
        )
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
