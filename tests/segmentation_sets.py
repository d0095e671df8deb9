"""Small folders of images and labels that the tests of recognition write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (20, 12)  # width, height


def image(path: Path, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)
    return path


def label(path: Path, values: tuple[int, ...] = (0, 1, 2, 255), size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.resize(np.array(values, np.uint8), size[::-1])
    Image.fromarray(pixels).save(path)
    return path


def names(split) -> list[str]:
    return split.ann_file.read_text().split()


def files(split) -> list[tuple[Path, Path]]:
    return [
        (split.img_dir / (name + split.img_suffix), split.label_dir / (name + split.label_suffix))
        for name in names(split)
    ]
