"""Labels that show classes as colours, as CamVid's do: rewritten as class indices in the work folder."""

from __future__ import annotations

import csv
import dataclasses
import os
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from .dataset import Colour, some
from .pairs import Pairs
from .scan import UNREADABLE, reason_of

#: The tables of colours that lie beside such labels: CamVid's own, and that of its copies with splits.
COLOUR_FILES = ("label_colors.txt", "class_dict.csv")
#: What CamVid and its copies call the pixels that are not scored.
_VOID = "void"


def colour_table(file: Path) -> tuple[tuple[str, ...], tuple[Colour, ...]]:
    """Names and colours, in the order of the file: lines ``64 128 64  Animal``, or a CSV of name, r, g, b.

    Raises:
        InputError: the file is neither, or has a name or a colour twice.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".csv":
            rows = [
                (row["name"], (row["r"], row["g"], row["b"])) for row in csv.DictReader(text.splitlines())
            ]
        else:
            lines = [re.split(r"\s+", line.strip(), maxsplit=3) for line in text.splitlines() if line.strip()]
            rows = [(name, (r, g, b)) for r, g, b, name in lines]
        names = tuple(name.strip() for name, _ in rows)
        colours = tuple((int(r), int(g), int(b)) for _, (r, g, b) in rows)
        if not rows or not all(0 <= part <= 255 for colour in colours for part in colour):
            raise ValueError("it has no colours of 0 to 255")
        if len(set(names)) < len(rows) or len(set(colours)) < len(rows):
            raise ValueError("a name or a colour stands in it twice")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"Cannot read the colours of classes from '{file}': {error}. Allowed are lines 'R G B name', or "
            f"a CSV with the columns name, r, g, b."
        ) from error
    return names, colours


def void_values(names: tuple[str, ...]) -> set[int]:
    """The label values that mean pixels to ignore."""
    return {value for value, name in enumerate(names) if name.lower() == _VOID}


def has_colours(part: Pairs) -> bool:
    """Whether the first label has colours that no palette explains."""
    try:
        with Image.open(part.labels[0]) as image:
            return image.mode in ("RGB", "RGBA")
    except UNREADABLE:
        return False  # said where all are read


def as_indices(part: Pairs, colours: tuple[Colour, ...], folder: Path) -> Pairs:
    """``part`` with labels below ``folder`` that hold the place of each colour in the table; they are kept.

    Raises:
        InputError: labels hold colours that are not in the table, or cannot be read.
    """
    folder = folder / f"{zlib.crc32(repr(colours).encode()):08x}"  # the next table means other values
    codes = np.array([_code(np.array(colour)) for colour in colours])
    order = np.argsort(codes)

    def write(job: tuple[str, Path]) -> tuple[Path, str]:
        name, label = job
        target = folder / f"{name}.png"
        stamp = label.stat().st_mtime_ns
        if not target.is_file() or target.stat().st_mtime_ns != stamp:
            try:
                with Image.open(label) as image:
                    pixels = _code(np.asarray(image.convert("RGB")).astype(np.int32))
            except UNREADABLE as error:
                return target, f"{label} cannot be read: {reason_of(error)}"
            places = order[np.searchsorted(codes[order], pixels).clip(max=len(codes) - 1)]
            if (unknown := np.unique(pixels[codes[places] != pixels])).size:
                first = int(unknown[0])
                return target, f"{label} holds {first >> 16} {first >> 8 & 255} {first & 255}"
            target.parent.mkdir(parents=True, exist_ok=True)
            own = target.with_name(f"{target.name}.{os.getpid()}")  # replaced in one step
            Image.fromarray(places.astype(np.uint8)).save(own, format="PNG")
            os.utime(own, ns=(stamp, stamp))
            os.replace(own, target)
        return target, ""

    with ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
        done = list(pool.map(write, zip(part.names, part.labels, strict=True)))
    if problems := [problem for _, problem in done if problem]:
        raise InputError(
            f"{len(problems)} labels hold colours that the table of colours does not name, or cannot be "
            f"read: {some(problems)} (R G B). Add the colour to the table, or correct the label."
        )
    targets = tuple(target for target, _ in done)
    return dataclasses.replace(part, label_dir=folder, label_suffix=".png", labels=targets)


def _code(colours: np.ndarray) -> np.ndarray:
    """Colours (..., 3) as one number each."""
    code: np.ndarray = colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]
    return code
