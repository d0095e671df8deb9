"""``python -m mmbackbones.bench.data``: reading and resizing images, in ways whose pictures may differ.

Each image file is read and brought to fit into 1333x800, as detectors' pipelines do; one thread, in turns.
The first way is that of mmdet's transforms, and of this package's; grey levels say how far others' pictures
are from it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import torch
import typer

from ..engine.timing import in_turn, print_table
from .machine import machine, table_of, write_figures

FITS = (1333, 800)  # longer and shorter side, pixels
SIZES = ((640, 480), (1280, 960), (2560, 1920))  # widths and heights of files made from those given


def _target(wide: int, high: int) -> tuple[int, int]:
    scale = min(max(FITS) / max(wide, high), min(FITS) / min(wide, high))
    return round(wide * scale), round(high * scale)


def opencv(content: bytes, reduced: bool = False) -> np.ndarray:
    """``(H, W, 3)``, BGR; with ``reduced`` JPEG is decoded at half the size where that is still enough."""
    import cv2
    from PIL import Image

    with Image.open(BytesIO(content)) as header:
        size = header.size
    halved = reduced and _target(*size)[0] <= size[0] / 2
    flag = cv2.IMREAD_REDUCED_COLOR_2 if halved else cv2.IMREAD_COLOR
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    return cv2.resize(image, _target(*size), interpolation=cv2.INTER_LINEAR)


def torchvision(content: bytes) -> np.ndarray:
    """The same by torchvision: its decoder, and bilinear resizing without antialiasing."""
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms.v2 import InterpolationMode, functional

    image = decode_image(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)
    wide, high = _target(*reversed(image.shape[1:]))
    resized = functional.resize(image, [high, wide], InterpolationMode.BILINEAR, antialias=False)
    return resized.permute(1, 2, 0).flip(2).numpy()


WAYS: dict[str, Callable[[bytes], np.ndarray]] = {
    "OpenCV": opencv,
    "OpenCV, decoded at half size": partial(opencv, reduced=True),
    "torchvision": torchvision,
}


def files(images: Path | None, count: int, folder: Path) -> dict[tuple[int, int], list[bytes]]:
    """JPEG files of each of :data:`SIZES`, from ``count`` pictures of a folder, or from drawn ones."""
    import cv2

    if images is None:
        from ..data.shapes import write_shapes

        images = write_shapes(folder / "shapes", train=count, val=1, size=SIZES[-1]) / "images" / "train"
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise typer.BadParameter(f"--images {images}: there is no .jpg, .jpeg or .png in it.")
    made: dict[tuple[int, int], list[bytes]] = {size: [] for size in SIZES}
    for path in paths[:: max(1, len(paths) // count)][:count]:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise typer.BadParameter(f"--images: {path} cannot be read as a picture.")
        for size, contents in made.items():
            how = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_CUBIC
            contents.append(cv2.imencode(".jpg", cv2.resize(image, size, interpolation=how))[1].tobytes())
    return made


def measure(contents: Sequence[bytes], turns: int) -> list[dict[str, Any]]:
    """A row for each way: milliseconds an image, and grey levels from the first way's pictures."""

    def each(way: Callable[[bytes], np.ndarray]) -> None:
        for content in contents:
            way(content)

    seconds = in_turn({name: partial(each, way) for name, way in WAYS.items()}, turns)
    plain = [WAYS["OpenCV"](content).astype(np.int16) for content in contents]
    rows = []
    for name, way in WAYS.items():
        apart = np.concatenate(
            [np.abs(way(content) - one).ravel() for content, one in zip(contents, plain, strict=True)]
        )
        row = {"way": name, "ms an image": 1e3 * median(seconds[name]) / len(contents)}
        rows.append(row | {"grey levels, 99 %": float(np.quantile(apart, 0.99)), "most": int(apart.max())})
    return rows


def main(
    images: Annotated[Path | None, typer.Option(help="Folder of pictures; default: drawn ones.")] = None,
    count: Annotated[int, typer.Option(help="Of pictures.")] = 8,
    turns: Annotated[int, typer.Option(help="Measured turns.")] = 9,
    quick: Annotated[bool, typer.Option("--quick", help="Few turns, one picture.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
) -> None:
    """Print what reading and resizing an image takes. No pass or fail.

    Example: python -m mmbackbones.bench.data --images photos
    """
    import cv2

    warnings.simplefilter("ignore")
    if quick:
        count, turns = 1, min(turns, 3)
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        rows = []
        with TemporaryDirectory() as folder:
            for (wide, high), contents in files(images, count, Path(folder)).items():
                rows += [{"file": f"{wide}x{high}", **row} for row in measure(contents, turns)]
                write_figures(out, rows, pictures=len(contents), turns=turns)
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
    title = f"A JPEG file to pixels that fit into {FITS[0]}x{FITS[1]}: {machine()}"
    print_table(title, *table_of(rows, digits=1))


if __name__ == "__main__":
    typer.run(main)
