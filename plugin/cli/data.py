"""``mmbackbones data``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .options import Classes, IgnoreLabel, Test, Val, parse_classes

if TYPE_CHECKING:
    from ..data.dataset import DataSet, Task

PICTURE = "data.png"


def data_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of your data.")],
    task: Annotated[
        str | None, typer.Option(help="detection or segmentation; default: what the folder looks like.")
    ] = None,
    val: Val = None,
    test: Test = None,
    classes: Classes = None,
    ignore_label: IgnoreLabel = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File for a grid of training images with their truth (.png)."),
    ] = None,
) -> None:
    """Say what is recognised in a data set: classes, counts, sizes, what looks wrong; and draw some of it.

    Example: mmbackbones data my_coco --out data.png
    """
    from rich.table import Table

    from ..data.scan import Scanner
    from ..engine.data_report import doubts, object_sizes, read_parts, spread, write_grid
    from .console import new_console, reading, shortest

    if out is not None and out.suffix != ".png":
        raise InputError(f"--out {out}: the picture is a PNG; write {out.with_suffix('.png')}.")
    console = new_console()
    with TemporaryDirectory() as cache, reading(console) as progress:
        options = dict(val=val, test=test or False, classes=parse_classes(classes), progress=progress)
        data = _recognise(folder, task, ignore_label or [], cache, options)
        parts = read_parts(data, Scanner(Path(cache)))
        unsure = doubts(data, parts)
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            write_grid(out, data, parts["train"])
    say = partial(console.print, highlight=False, soft_wrap=True, markup=False)
    channels = "" if data.channels is None else f", images of {data.channels} channels"
    say(f"{data.root.name}: {data.task}, layout {data.layout}, {len(data.classes)} classes{channels}")
    unit = "objects" if data.task == "detection" else "pixels"
    table = Table("class", *(f"{name} {what}" for name in parts for what in ("images", unit)), box=None)
    for name in data.classes:
        counts = [count[name] for part in parts.values() for count in (part.images, part.amounts)]
        table.add_row(name, *map(str, counts))
    console.print(table)
    for name, part in parts.items():
        say(
            f"{name}: {len(part.files)} images, width {spread(size[0] for size in part.sizes)}, "
            f"height {spread(size[1] for size in part.sizes)} (least, median, most)"
        )
        if data.task == "detection":
            counted = ", ".join(f"{count} {kind}" for kind, count in object_sizes(part).items())
            say(f"  objects: {counted}; longer side {spread(max(side) for side in part.sides)}")
    for note in (*data.notes, *unsure):
        say(f"  {note}")
    if out is not None:
        say(f"picture  {shortest(out.absolute())}")


def _recognise(
    folder: Path, task: str | None, ignore: list[int], cache: str, options: dict[str, Any]
) -> DataSet:
    """As the task that is named, or as the first of both that fits.

    Raises:
        InputError: as neither.
    """
    from ..data.dataset import TASKS
    from ..data.layouts import looks_like, recognise

    if task is not None and task not in TASKS:
        raise InputError(f"--task '{task}' is unknown; use {' or '.join(TASKS)}.")
    chosen: Task = task or looks_like(folder)
    return recognise(folder, chosen, cache_dir=cache, ignore_labels=ignore, **options)
