"""Boxes of what heads give, clipped at the image, with operators that ONNX has."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def decoded(coder: Any, boxes: Tensor, coded: Tensor, sides: Tensor) -> Tensor:
    """Boxes ``(N, n, 4 * k)`` of what is ``coded`` against ``boxes`` ``(N, n, 4)``.

    mmdet's coders clip too; but while an ONNX file is made they do it with a module that mmdet has no more,
    and torch records the net a second time, by dynamo, which takes three times as long.

    Args:
        coder: of mmdet.
        boxes: anchors or proposals.
        coded: ``(N, n, 4 * k)``.
        sides: ``(2,)``: height and width of the image, pixels.
    """
    found: Tensor = coder.decode(boxes, coded)
    return clipped(found, sides) if getattr(coder, "clip_border", True) else found


def clipped(boxes: Tensor, sides: Tensor) -> Tensor:
    """Boxes ``(..., 4 * k)``, x1 y1 x2 y2, inside an image of ``sides`` ``(2,)``."""
    return boxes.clamp(min=0).minimum(sides.flip(0).repeat(boxes.shape[-1] // 2))
