"""``python -m mmbackbones.bench.scaling``: time and memory of training, as images, batch and boxes grow.

A Faster R-CNN with ResNet-50 and FPN, stock and ours, as in :mod:`.detectors`: one thing grows at a time.
Each measurement has a process of its own, so that the peak is its own: what resident memory grew by when
the models were there; on a GPU, all of torch's memory. The sides take turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import torch
import typer

from ..engine.timing import print_table
from .machine import devices, machine, write_figures


class Case(NamedTuple):
    """A training step: part of 800x1344, images, boxes of each that its head learns from, threads."""

    scale: float
    images: int
    boxes: int = 512
    threads: int | None = None


#: What grows, by type of device.
CASES: dict[str, dict[str, list[Case]]] = {
    "cpu": {
        "image": [Case(scale, 1) for scale in (0.24, 0.4, 0.6, 1.0)],
        "batch": [Case(0.4, images) for images in (1, 2, 4)],
        "boxes": [Case(0.4, 1, boxes) for boxes in (128, 512, 1000)],
        "threads": [Case(0.4, 1, 512, threads) for threads in (1, 2)],
    },
    "cuda": {
        "image": [Case(scale, 2) for scale in (0.24, 0.4, 0.6, 1.0)],
        "batch": [Case(1.0, images) for images in (1, 2, 4, 8)],
        "boxes": [Case(1.0, 2, boxes) for boxes in (128, 512, 1000)],
    },
}
QUICK = {"image": [Case(0.08, 1, 64)]}
SIDES = ("stock", "ours")
HEAD = ("what grows", "step", "stock to ours, ms", "stock to ours, MiB")


def one(side: str, case: Case, device: str, steps: int) -> dict[str, float]:
    """Median milliseconds of ``steps`` steps after the first, and MiB at most; in this process."""
    from ..engine.cost import PeakMemory
    from ..engine.layout import join_norms
    from ..engine.timing import each_call
    from . import detectors

    warnings.simplefilter("ignore")  # of mmengine and mmdet, about their own old spellings
    if case.threads:
        torch.set_num_threads(case.threads)
    name = "Faster R-CNN R50"
    net: Any = detectors.models(name, device)[SIDES.index(side)]
    if side == "ours":
        join_norms(net)
    net.train()
    net.roi_head.bbox_sampler.num = case.boxes
    batch = detectors.batch_of(name, case.images, case.scale)
    memory = PeakMemory(device == "cuda")
    seconds = each_call(lambda: detectors.train(net, batch, device, False), steps, 1)
    memory.stop()
    high, wide = batch["inputs"][0].shape[1:]
    return {"ms": 1e3 * median(seconds), "MiB": memory.peak or 0.0, "wide": wide, "high": high}


def measure(case: Case, device: str, steps: int, turns: int) -> dict[str, Any]:
    """A row: both sides' milliseconds and MiB, medians of ``turns`` processes each."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for turn in range(turns):
        for side in SIDES if turn % 2 else SIDES[::-1]:
            code = f"from mmbackbones.bench import scaling; scaling.print_one({side!r}, {tuple(case)}, "
            code += f"{device!r}, {steps})"
            child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
            found[side].append(json.loads(child.stdout.splitlines()[-1]))
    of_side = {
        side: {key: median(row[key] for row in rows) for key in rows[0]} for side, rows in found.items()
    }
    size = f"{of_side['ours']['wide']:.0f}x{of_side['ours']['high']:.0f}"
    threads = case.threads or torch.get_num_threads()
    row: dict[str, Any] = {"step": f"{case.images} of {size}, {case.boxes} boxes, threads: {threads}"}
    for unit in ("ms", "MiB"):
        row |= {f"{side}, {unit}": of_side[side][unit] for side in SIDES}
        row[f"ours / stock, {unit}"] = of_side["ours"][unit] / of_side["stock"][unit]
    return row


def print_one(side: str, case: tuple[float, int, int, int | None], device: str, steps: int) -> None:
    """:func:`one` as a line of JSON, for the process that asked."""
    typer.echo(json.dumps(one(side, Case(*case), device, steps)))


def main(
    steps: Annotated[int, typer.Option(help="Measured steps of each process.")] = 3,
    turns: Annotated[int, typer.Option(help="Processes of each side.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="One row, of a small image.")] = False,
    grows: Annotated[
        list[str] | None, typer.Option(help="image, batch, boxes, threads; default: all.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: all that are here.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
) -> None:
    """Print time and peak memory of a training step as something grows. No pass or fail.

    Example: python -m mmbackbones.bench.scaling --grows image --device cpu
    """
    found: list[dict[str, Any]] = []
    for where in devices(device):
        cases = QUICK if quick else CASES[where]
        unknown = set(grows or ()) - cases.keys()
        if unknown:
            raise typer.BadParameter(f"--grows {', '.join(sorted(unknown))}: known are {', '.join(cases)}.")
        rows = []
        for what in grows or cases:
            for case in cases[what]:
                rows.append({"what grows": what, "device": where, **measure(case, where, steps, turns)})
                write_figures(out, [*found, *rows], turns=turns)
        title = f"A training step of Faster R-CNN R50 on {where}: {machine()}"
        print_table(title, list(HEAD), cells(rows))
        found += rows


def cells(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The rows of figures as a table has them."""
    made = []
    for row in rows:
        made.append([row["what grows"], row["step"]])
        for unit in ("ms", "MiB"):
            stock, ours, ratio = (row[f"{word}, {unit}"] for word in (*SIDES, "ours / stock"))
            made[-1].append(f"{stock:.0f} to {ours:.0f} ({ratio:.2f})")
    return made


if __name__ == "__main__":
    typer.run(main)
