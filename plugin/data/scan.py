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
from .dataset import write_cache

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")  # lossless ones

Progress = Callable[[str, int, int], None]
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF tag, and its values that swap width and height
_LAST_BYTES = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def list_files(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Names relative to ``folder``, sorted, of all files in it and below with one of ``suffixes``."""
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = os.path.relpath(parent, folder)
        for name in names:
            if name.lower().endswith(tuple(suffixes)) and not name.startswith("."):
                found.append(name if inside == "." else f"{inside}/{name}".replace(os.sep, "/"))
    return sorted(found)


def read_size(path: Path) -> list[Any]:
    """[width, height] of an image in pixels, as OpenCV shows it (turned as its EXIF data say).

    Only the header is read, and the end of the file: if that is missing, the whole image.

    Raises:
        ValueError: with the reason why it is no readable image.
    """
    size = path.stat().st_size
    if size == 0:
        raise ValueError("the file is empty (0 bytes)")
    with Image.open(path) as image:
        width, height = image.size
        if "exif" in image.info and image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        ending = _LAST_BYTES.get(image.format or "")
        if ending and ending not in _tail(path, size):
            image.load()  # raises if the image is cut off
    return [width, height]


def _tail(path: Path, size: int, count: int = 64) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, size - count))
        return file.read()


def read_label(path: Path) -> list[Any]:
    """[width, height, values]: size of a label image in pixels and the values that occur, rising.

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
            values = [value for value, count in enumerate(image.histogram()[:256]) if count]
        else:
            values = np.unique(np.asarray(image)).astype(int).tolist()
        return [*image.size, values]


class Scanner:
    """Reads facts about files in parallel; files that did not change are read once only.

    Args:
        cache_dir: folder of the file that remembers the facts.
        progress: called with (what is read, files done, files in all).
    """

    def __init__(self, cache_dir: Path, progress: Progress | None = None) -> None:
        self._file = cache_dir / "facts.json"
        self._progress = progress
        self._known: dict[str, dict[str, Any]] = {}
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
        return [(width, height) for width, height in self._read("images", read_size, paths)]

    def labels(self, paths: Sequence[Path]) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
        """((width, height), values that occur) of each label image.

        Raises:
            InputError: some labels are missing, corrupt or have colours; the message names them.
        """
        found = self._read("labels", read_label, paths)
        return [((width, height), tuple(values)) for width, height, values in found]

    def _read(self, what: str, read: Callable[[Path], list[Any]], paths: Sequence[Path]) -> list[list[Any]]:
        known = self._known.setdefault(what, {})

        def look(path: Path) -> list[Any] | str:
            try:
                stat = path.stat()
                stamp = [stat.st_size, stat.st_mtime_ns]
                if (old := known.get(str(path))) and old[:2] == stamp:
                    return old
                return stamp + read(path)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                return _reason(error)

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


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is not an image (corrupt, or of an unknown kind)"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
