"""The embedded data set: shapes of six classes on textured grounds, generated from a seed.

One folder serves both libraries: COCO layout (``images/``, ``train.json``, ``val.json``) with boxes
and instance masks, and mmseg layout (``images/``, ``labels/``, ``classes.txt``) with the class index
of each pixel, 0 being the background.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import InputError, need
from . import drawing
from .drawing import Array, Rng, Shape

CLASSES = tuple(drawing.OUTLINES)
VERSION = 1  # counts up whenever the same seed gives other pictures
MIN_SIZE = 64

RADII = (0.06, 0.24)  # smallest and largest radius, in parts of the shorter image side
SHAPES = (3, 8)  # fewest and most shapes tried per picture
MIN_VISIBLE = 0.5  # part of each shape that neither the image's edge nor another shape hides
_TRIES = 12  # places tried for a shape before it is left out


def write_shapes(
    root: Path,
    *,
    train: int = 400,
    val: int = 100,
    size: tuple[int, int] = (192, 192),
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    processes: int = 1,
) -> Path:
    """Write the data set into the folder ``root`` and return ``root``.

    Image ``i`` of a split depends on ``seed``, the split, ``i`` and ``size`` only, so a longer set
    begins with a shorter one. A ``root`` that already holds the same set is left as it is.

    Args:
        root: a folder that does not exist yet, is empty, or holds this very set.
        train: number of training images.
        val: number of validation images.
        size: image width and height in pixels.
        seed: seed of all that is random.
        progress: called with (images written, images in all) after each image.
        processes: that draw; of more than one each imports the program's main module, as
            :mod:`multiprocessing` does.

    Raises:
        InputError: a number is out of range, ``root`` holds something else, or cannot be written.
    """
    root = Path(root)
    _check(train, val, size, seed)
    settings = dict(
        set="mmbackbones shapes", version=VERSION, train=train, val=val, size=list(size), seed=seed
    )
    if _holds(root, settings):
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
        try:
            _write_all(part, settings, progress, processes)
            part.chmod(0o755)  # mkdtemp gives 0o700
            _move(part, root, settings)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"Cannot write the shapes data set to '{root}': {error.strerror or error}. "
            f"Choose a folder that you may write to, on a disk with space left."
        ) from error
    return root


def _check(train: int, val: int, size: tuple[int, int], seed: int) -> None:
    if train < 1 or val < 1:
        raise InputError(f"train={train}, val={val}: each split needs at least one image.")
    if len(size) != 2 or min(size) < MIN_SIZE:
        raise InputError(f"size={size}: give (width, height), each at least {MIN_SIZE} pixels.")
    if seed < 0:
        raise InputError(f"seed={seed} is negative; give 0 or more.")


def _holds(root: Path, settings: dict[str, Any]) -> bool:
    """True if ``root`` is this very set, False if it is absent or empty, else an error."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    found = None
    if (root / "train.json").is_file():
        try:
            found = json.loads((root / "train.json").read_text()).get("info")
        except (ValueError, AttributeError):  # not JSON or not a dict: surely not ours
            found = None
    if found == settings:
        return True
    raise InputError(
        f"'{root}' is not empty and does not hold the shapes data set of these settings ({settings}). "
        f"Delete it or choose another folder."
    )


def _move(part: Path, root: Path, settings: dict[str, Any]) -> None:
    """Put the finished folder in its place in one step; another process may have been faster."""
    try:
        os.replace(part, root)
    except OSError:
        if not _holds(root, settings):
            raise


def _write_all(
    root: Path, settings: dict[str, Any], progress: Callable[[int, int], None] | None, processes: int
) -> None:
    size, counts = tuple(settings["size"]), (settings["train"], settings["val"])
    categories = [dict(id=k, name=name, supercategory="shape") for k, name in enumerate(CLASSES, start=1)]
    done = 0
    with _pool(processes) as pool:
        for which, (split, count) in enumerate(zip(("train", "val"), counts, strict=True)):
            (root / "images" / split).mkdir(parents=True)
            (root / "labels" / split).mkdir(parents=True)
            images: list[dict[str, Any]] = []
            annotations: list[dict[str, Any]] = []
            draw_one = partial(_write_one, root, split, [settings["seed"], which], size)
            for number, (name, found) in enumerate(pool(draw_one, range(count)), start=1):
                images.append(dict(id=number, file_name=name, width=size[0], height=size[1]))
                for one in found:
                    annotations.append(dict(id=len(annotations) + 1, image_id=number, **one))
                done += 1
                if progress:
                    progress(done, sum(counts))
            coco = dict(info=settings, images=images, annotations=annotations, categories=categories)
            (root / f"{split}.json").write_text(json.dumps(coco))
    (root / "classes.txt").write_text("\n".join(["background", *CLASSES]) + "\n")


@contextmanager
def _pool(processes: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """``map``, or the same in several processes."""
    if processes == 1:
        yield map
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield partial(executor.map, chunksize=8)


def _write_one(
    root: Path, split: str, seed: list[int], size: tuple[int, int], index: int
) -> tuple[str, list[dict[str, Any]]]:
    """Draw and write one image with its labels; returns its name and annotations, these without numbers."""
    picture, shapes = draw(np.random.default_rng([*seed, index]), size)
    owner, name = visible(shapes, size), f"{split}/{split}_{index:05d}"
    _save(root / "images" / f"{name}.jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    labels = np.array([0, *(shape.label + 1 for shape in shapes)], np.uint8)
    _save(root / "labels" / f"{name}.png", labels[owner])
    found = [_annotate(owner == number, shape.label) for number, shape in enumerate(shapes, start=1)]
    return f"{name}.jpg", found


def _save(path: Path, picture: Array, options: list[int] | None = None) -> None:
    path.write_bytes(cv2.imencode(path.suffix, picture, options or [])[1].tobytes())


def _annotate(mask: Array, label: int) -> dict[str, Any]:
    """COCO box, area and run-length mask of the visible pixels ``mask`` (H, W)."""
    need("pycocotools")
    from pycocotools import mask as coco_mask

    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    rle["counts"] = rle["counts"].decode("ascii")
    return dict(
        category_id=label + 1,
        bbox=coco_mask.toBbox(rle).tolist(),
        area=int(mask.sum()),
        iscrowd=0,
        segmentation=rle,
    )


def draw(rng: Rng, size: tuple[int, int]) -> tuple[Array, list[Shape]]:
    """One picture (H, W, 3), uint8 RGB, and its shapes, the hindmost first; ``size`` is (width, height)."""
    shapes = arrange(rng, size)
    picture = drawing.ground(rng, size)
    for shape in shapes:
        picture = drawing.paint(rng, picture, shape)
    return drawing.camera(rng, picture), shapes


def arrange(rng: Rng, size: tuple[int, int]) -> list[Shape]:
    """Shapes at random places, some over others, of each at least :data:`MIN_VISIBLE` to be seen."""
    shapes: list[Shape] = []
    for _ in range(rng.integers(SHAPES[0], SHAPES[1] + 1)):
        label = int(rng.integers(len(CLASSES)))
        radius = min(size) * RADII[0] * (RADII[1] / RADII[0]) ** rng.uniform()  # log-uniform
        for _ in range(_TRIES):
            shape = drawing.place(rng, label, _centre(rng, shapes, radius, size), radius, size)
            if _all_visible([*shapes, shape], size):
                shapes.append(shape)
                break
    return shapes


def _centre(rng: Rng, shapes: list[Shape], radius: float, size: tuple[int, int]) -> tuple[float, float]:
    """Anywhere in the picture, or in one case of three at the edge of an earlier shape."""
    if shapes and rng.uniform() < 0.33:
        other, angle = shapes[rng.integers(len(shapes))], rng.uniform(0, 2 * np.pi)
        reach = 0.8 * (other.radius + radius)
        return other.centre[0] + reach * np.cos(angle), other.centre[1] + reach * np.sin(angle)
    margin = 0.6 * radius if shapes else radius  # the first is whole, so that no picture is empty
    return rng.uniform(margin, size[0] - margin), rng.uniform(margin, size[1] - margin)


def _all_visible(shapes: list[Shape], size: tuple[int, int]) -> bool:
    seen = np.bincount(visible(shapes, size).ravel(), minlength=len(shapes) + 1)[1:]
    return all(part >= MIN_VISIBLE * shape.area for part, shape in zip(seen, shapes, strict=True))


def visible(shapes: list[Shape], size: tuple[int, int]) -> Array:
    """(H, W) int: which shape, counted from 1, is in front at each pixel; 0 is the ground."""
    owner = np.zeros((size[1], size[0]), np.int64)
    for number, shape in enumerate(shapes, start=1):
        owner[shape.mask] = number
    return owner
