"""``python -m mmbackbones.bench.depthwise``: gradients of depthwise convolutions, torch's and the quick.

Each row is one convolution of a net that people train, as its maps are for images of 224x224 or 800x1333
pixels, in channels-last order: forward pass and all gradients, in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from ..engine.timing import in_turn, print_table
from ..surgery.depthwise import take_quick_gradients
from .limits import TYPES
from .machine import machine, table_of, write_figures

#: Net; channels, kernel, stride; images, height, width of the input.
LAYERS: tuple[tuple[str, int, int, int, tuple[int, int, int]], ...] = (
    ("MobileNetV3-Large, stage 5", 960, 5, 1, (8, 7, 7)),
    ("EfficientNet-B0, stage 2", 96, 3, 2, (8, 112, 112)),
    ("EfficientNet-B0, stage 3", 144, 5, 2, (8, 56, 56)),
    ("EfficientNet-B0, stage 4", 672, 5, 1, (8, 14, 14)),
    ("ConvNeXt-T, stage 1", 96, 7, 1, (8, 56, 56)),
    ("ConvNeXt-T, stage 3", 384, 7, 1, (8, 14, 14)),
    ("RTMDet-S, stage 2", 64, 5, 1, (2, 80, 80)),
    ("ConvNeXt-T, stage 2", 192, 7, 1, (1, 100, 168)),
    ("RepLKNet, stage 3", 512, 27, 1, (2, 14, 14)),
)


def _step(conv: nn.Module, image: Tensor, grad: Tensor) -> None:
    torch.autograd.grad(conv(image), (image, *conv.parameters()), grad)


def measure(layer: tuple[str, int, int, int, tuple[int, int, int]], turns: int) -> dict[str, Any]:
    """A row: milliseconds with torch's gradients and the quick, and their ratio, in each precision."""
    name, channels, kernel, stride, (images, high, wide) = layer
    calls: dict[str, Callable[[], object]] = {}
    for word, dtype in TYPES.items():
        conv = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels)
        conv = conv.to(dtype=dtype).to(memory_format=torch.channels_last)
        quick = deepcopy(conv)
        take_quick_gradients(quick)
        image = torch.rand(images, channels, high, wide, dtype=dtype)
        image = image.to(memory_format=torch.channels_last).requires_grad_()
        grad = torch.rand_like(conv(image))
        for side, module in (("torch", conv), ("quick", quick)):
            calls[f"{side}, {word}"] = partial(_step, module, image, grad)
    seconds = in_turn(calls, turns)
    shape = f"{images}x{channels}x{high}x{wide}"
    row: dict[str, Any] = {"layer": f"{name}: {kernel}x{kernel}, stride {stride}, of {shape}"}
    for word in TYPES:
        both = [seconds[f"{side}, {word}"] for side in ("torch", "quick")]
        before, after = (1e3 * median(found) for found in both)
        times = median(a / b for a, b in zip(*both, strict=True))
        row[f"{word}, ms"], row[f"{word}, times faster"] = f"{before:.1f} to {after:.1f}", times
    return row


def main(
    turns: Annotated[int, typer.Option(help="Measured turns.")] = 15,
    quick: Annotated[bool, typer.Option("--quick", help="Few turns.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
) -> None:
    """Print what the quick gradients of depthwise convolutions save on this processor. No pass or fail.

    Example: python -m mmbackbones.bench.depthwise --out depthwise.json
    """
    turns = min(turns, 3) if quick else turns
    rows = [measure(layer, turns) for layer in LAYERS]
    write_figures(out, rows, turns=turns)
    print_table(f"Depthwise convolutions, forward and gradients: {machine()}", *table_of(rows))


if __name__ == "__main__":
    typer.run(main)
