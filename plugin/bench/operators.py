"""Time of RoIAlign through the provider against torchvision's operator, for ``make bench``."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ..engine.timing import in_turn

# (name, channels, rows, columns, cells per pixel): a stride-8 map of 480x640, a stride-4 map of 800x1088
MAPS = [("256x60x80", 256, 60, 80, 1 / 8), ("256x200x272", 256, 200, 272, 1 / 4)]
BOXES, OUTPUT, ROUNDS = 512, 7, 5


def roi_align_rows(threads: int = 2) -> list[dict[str, Any]]:
    """Forward plus backward of 512 boxes, adaptive sampling, aligned, batch 1, output 7x7.

    Boxes are drawn by :func:`draw_boxes`. Both operators run in turn in this process; each figure is the
    median of the rounds.

    Returns:
        A row for each map and draw: ``name``, ``ours_ms``, ``torchvision_ms``, ``ratio``
        (torchvision's time over ours).
    """
    from mmcv.ops import RoIAlign
    from torchvision.ops import RoIAlign as StockRoIAlign

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    rows = []
    for name, channels, height, width, scale in MAPS:
        for draw in DRAWS:
            rng = torch.Generator().manual_seed(0)
            x = torch.randn(1, channels, height, width, generator=rng).requires_grad_()
            rois = draw_boxes(draw, height / scale, width / scale, scale, rng)
            layers = {
                "ours_ms": RoIAlign(OUTPUT, scale, 0, "avg", True),
                "torchvision_ms": StockRoIAlign(OUTPUT, scale, 0, True),
            }
            found = in_turn({key: _step(layer, x, rois) for key, layer in layers.items()}, ROUNDS)
            times = {key: 1e3 * median(seconds) for key, seconds in found.items()}
            ratio = times["torchvision_ms"] / times["ours_ms"]
            rows.append({"name": f"RoIAlign {name}, {draw} boxes", **times, "ratio": ratio})
    torch.set_num_threads(before)
    return rows


DRAWS = ("image", "level")


def draw_boxes(draw: str, height: float, width: float, scale: float, rng: torch.Generator) -> Tensor:
    """512 boxes ``(image, x1, y1, x2, y2)`` in pixels, with centres anywhere, clipped to the image.

    Args:
        draw: ``"image"`` for boxes of every size in one map: sides' geometric mean log-uniform from 16
            pixels to the image's short side, height to width log-uniform from 1/2 to 2. ``"level"`` for
            the boxes that an FPN gives to one level: sides uniform from 2 to 28 cells.
        scale: cells per pixel.
    """
    first, second = torch.rand(2, BOXES, generator=rng)
    if draw == "image":
        side = 16 * (min(height, width) / 16) ** first
        sides = torch.stack([side * 2 ** (second - 0.5), side * 2 ** (0.5 - second)], 1)
    else:
        sides = (torch.stack([first, second], 1) * 26 + 2) / scale
    limit = torch.tensor([width, height])
    centre = torch.rand(BOXES, 2, generator=rng) * limit
    corners = [(centre + sign * sides / 2).clamp(min=0).minimum(limit) for sign in (-1, 1)]
    return torch.cat([torch.zeros(BOXES, 1), *corners], 1)


def _step(layer: torch.nn.Module, x: Tensor, rois: Tensor) -> Callable[[], object]:
    weight = torch.ones(BOXES, x.shape[1], OUTPUT, OUTPUT)
    return lambda: torch.autograd.grad(layer(x, rois), x, weight)
