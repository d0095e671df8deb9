"""``mmbackbones bench``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer


class Table(str, Enum):
    """The benchmarks, each a module of :mod:`mmbackbones.bench` with more options of its own."""

    overhead = "overhead"
    peers = "peers"
    detectors = "detectors"
    segmentation = "segmentation"
    limits = "limits"
    depthwise = "depthwise"
    scaling = "scaling"
    data = "data"
    start = "start"


#: Those that take no --device: what they measure is the processor's.
_ON_CPU = (Table.overhead, Table.depthwise, Table.data, Table.start)


def bench_command(
    table: Annotated[
        list[Table] | None,
        typer.Argument(
            help="overhead (what the package costs, and what its operators save), peers (backbones against "
            "OpenMMLab's classes), detectors (whole models), segmentation (frames per second), limits (part "
            "of the processor's arithmetic), depthwise (gradients of such convolutions), scaling (time and "
            "memory of a training step), data (reading images), start (to the first step); default: all."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few turns on small images.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: all that are here.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write the figures there, as JSON.")
    ] = None,
) -> None:
    """Measure on this machine, side by side in turns: medians and quartiles. Nothing passes or fails.

    Example: mmbackbones bench peers --device cpu --out bench

    Each table has more options of its own, as `python -m mmbackbones.bench.peers --help` says.
    """
    from importlib import import_module

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    for one in table or list(Table):
        main = import_module(f"mmbackbones.bench.{one.value}").main
        given: dict[str, Any] = {} if one in _ON_CPU else {"device": device}
        if one is not Table.overhead:
            given["out"] = out and out / f"{one.value}.json"
        main(quick=quick, **given)
