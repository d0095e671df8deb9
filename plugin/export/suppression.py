"""Choosing among boxes inside the file: thresholds, and non-maximum suppression as ONNX's operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms


def refused(cfg: Any) -> str:
    """Why the suppression of a ``test_cfg`` cannot be in the file; empty where it can."""
    rule = cfg.nms
    if rule.get("type", "nms") != "nms" or rule.get("class_agnostic"):
        return f"its suppression {dict(rule)} has no operator in ONNX"
    if cfg.get("min_bbox_size", -1) > 0:
        return f"its min_bbox_size={cfg.min_bbox_size} is in pixels of an image that the file does not know"
    return ""


def suppress(
    boxes: Tensor, scores: Tensor, groups: Tensor, rule: Mapping[str, Any], min_size: float = -1
) -> Tensor:
    """Indices of the boxes ``(n, 4)`` that overlap no better one of their group, best first.

    Args:
        boxes: x1 y1 x2 y2.
        scores: ``(n,)``.
        groups: ``(n,)``: class or level.
        rule: ``nms`` of a ``test_cfg``.
        min_size: 0 to leave out boxes without area, which overlap nothing; -1 to leave them in.
    """
    # As mmcv moves groups apart; of no box at all the largest coordinate is 0.
    apart = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).max() + 1
    kept = nms(boxes + (groups * apart)[:, None], scores, rule.get("iou_threshold", 0.5))
    if min_size < 0:
        return kept
    wide = boxes[kept, 2:] - boxes[kept, :2]
    return kept[(wide > min_size).all(1).nonzero()[:, 0]]


def most_before(head: Any) -> int | None:
    """How many boxes of one image go into the suppression; None for all."""
    each = head.test_cfg.get("nms_pre", -1)
    return each * head.prior_generator.num_levels if each > 0 else None


def best(head: Any, boxes: Tensor, scores: Tensor, factors: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes ``(n, 4)``, scores and labels ``(n,)`` of what one image's head gives, best first.

    Args:
        head: whose ``test_cfg`` has the rules.
        boxes: ``(places, 4)``.
        scores: ``(places, classes)``.
        factors: ``(places,)``, of the scores that pass the threshold.
    """
    cfg = head.test_cfg
    place, label = (scores > cfg.get("score_thr", 0)).nonzero().unbind(1)
    sure = scores[place, label]
    order = sure.argsort(descending=True)[: most_before(head)]
    place, label, sure = place[order], label[order], sure[order]
    if factors is not None:
        sure = sure * factors[place]
    found = boxes[place]
    kept = suppress(found, sure, label, cfg.nms, cfg.get("min_bbox_size", -1))[: cfg.get("max_per_img", 100)]
    return found[kept], sure[kept], label[kept]
