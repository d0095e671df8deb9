"""``python -m mmbackbones.bench.limits``: how much of the processor's arithmetic a backbone gets.

The limit is what a product of two large square matrices reaches in the same turns, with the same threads.
A network's operations are two to each multiply-add of its convolutions and products, three times as many in
a training step (the pass, and gradients of inputs and of weights); norms and activations count as none.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer

from ..backbone import build
from ..engine.timing import in_turn, print_table
from ..feature_nets.specs import get_spec
from ..surgery.folding import folded
from ..tracing.cost import cost
from .machine import devices, machine, table_of, write_figures
from .peers import step

SIDE = 3072  # of the matrices
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def measure(name: str, device: str, size: int, batch: int, turns: int) -> list[dict[str, Any]]:
    """A row for inference and training in each precision: GFLOP/s, those of the product, and the part."""
    net = build(name, memory_format="auto").to(device)
    ops = 2e-9 * batch * cost(build(name), 3, (size, size)).madds
    image = torch.rand(batch, 3, size, size, device=device)
    calls: dict[str, Callable[[], object]] = {}
    for word, dtype in TYPES.items():
        matrix = torch.rand(SIDE, SIDE, device=device, dtype=dtype)
        calls[f"product, {word}"] = partial(torch.mm, matrix, matrix)
    for what, runs in (("inference", folded(net.eval(), 3)), ("training", build(name, memory_format="auto"))):
        runs = runs.to(device).train(what == "training")
        for word in TYPES:
            calls[f"{what}, {word}"] = partial(step, runs, image, what == "training", word == "bf16")
    seconds = in_turn(calls, turns, warm_up=2)
    rows = []
    for what, times in (("inference", 1), ("training", 3)):
        for word in TYPES:
            reached = times * ops / median(seconds[f"{what}, {word}"])
            limit = 2e-9 * SIDE**3 / median(seconds[f"product, {word}"])
            row = {"net": name, "what": what, "device": device, "precision": word}
            rows.append(row | {"GFLOP/s": reached, "product, GFLOP/s": limit, "part": reached / limit})
    return rows


def main(
    size: Annotated[int, typer.Option(help="Height and width of the images in pixels.")] = 224,
    batch: Annotated[int, typer.Option(help="Images per step.")] = 8,
    turns: Annotated[int, typer.Option(help="Measured turns.")] = 9,
    quick: Annotated[bool, typer.Option("--quick", help="Few turns on small images.")] = False,
    net: Annotated[list[str] | None, typer.Option(help="Catalog names; default: resnet50.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: all that are here.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
) -> None:
    """Print the part of the processor's matrix product that backbones reach. No pass or fail.

    Example: python -m mmbackbones.bench.limits --net resnet50 --device cpu
    """
    warnings.simplefilter("ignore")  # of timm, about its own old spellings
    names = net or ["resnet50"]
    for name in names:
        get_spec(name)
    if quick:
        size, batch, turns = min(size, 64), 1, min(turns, 3)
    found: list[dict[str, Any]] = []
    for where in devices(device):
        rows = [row for name in names for row in measure(name, where, size, batch, turns)]
        what = f"{batch} images of {size}x{size}, product of {SIDE}x{SIDE} matrices"
        print_table(f"GFLOP/s on {where}, {what}: {machine()}", *table_of(rows))
        found += rows
        write_figures(out, found, size=size, batch=batch, turns=turns)


if __name__ == "__main__":
    typer.run(main)
