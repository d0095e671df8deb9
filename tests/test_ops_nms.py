"""Suppression and overlap of boxes, called as mmcv's own Python side calls them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import nms as stock_nms

from mmbackbones.ops.nms import apart, nms

mmcv_ops = pytest.importorskip("mmcv.ops", reason="the extra mmbackbones[mm] is not installed")

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]


def scattered_boxes(count: int) -> tuple[Tensor, Tensor]:
    corner, side = torch.rand(count, 2) * 60, torch.rand(count, 2) * 40
    return torch.cat([corner, corner + side], 1), torch.rand(count)


def iou(one: Tensor, two: Tensor, offset: int = 0) -> float:
    sides = (torch.minimum(one[2:], two[2:]) - torch.maximum(one[:2], two[:2]) + offset).clamp(min=0)
    inter = sides.prod()
    areas = [(box[2:] - box[:2] + offset).prod() for box in (one, two)]
    return float(inter / (areas[0] + areas[1] - inter))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("as_array", [False, True])
def test_nms(offset: int, as_array: bool, device: str) -> None:
    boxes, scores = scattered_boxes(120)
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou(boxes[i], boxes[k], offset) <= 0.4 for k in kept):
            kept.append(i)
    given = (boxes.numpy(), scores.numpy()) if as_array else (boxes.to(device), scores.to(device))
    dets, inds = mmcv_ops.nms(*given, 0.4, offset=offset)
    assert isinstance(inds, np.ndarray if as_array else Tensor)
    assert inds.tolist() == kept
    assert len(kept) < 100
    np.testing.assert_allclose(torch.as_tensor(dets).cpu()[:, 4], scores[kept])


def _levels(count: int) -> Tensor:
    """Boxes of 80 classes, each moved to a place of its own, as ``batched_nms`` gives them."""
    boxes, _ = scattered_boxes(count)
    return boxes + torch.randint(0, 80, (count, 1)) * 101.0


def _strange(count: int) -> Tensor:
    """Among them empty ones, turned round, not finite, and neighbours that touch."""
    boxes = _levels(count)
    boxes[0:9, 2] = boxes[0:9, 0]
    boxes[10:19, 2] -= 90
    boxes[20, 2], boxes[21, 0], boxes[22] = torch.nan, torch.nan, torch.inf
    boxes[30, 0] = boxes[:, 2].nan_to_num(0, 0).max()
    return boxes


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.7, -0.1])
@pytest.mark.parametrize("make", [_levels, _strange, lambda count: scattered_boxes(count)[0]])
def test_boxes_that_are_apart_are_compared_apart(make: Callable[[int], Tensor], threshold: float) -> None:
    """With the result of comparing all with all, ties in their order too."""
    boxes, scores = make(2000), torch.rand(2000).mul(20).round() / 20
    assert torch.equal(nms(boxes, scores, threshold, 0), stock_nms(boxes, scores, threshold))


def test_groups_of_boxes_meet_no_other() -> None:
    boxes = _levels(3000)
    parts = apart(boxes)
    assert len(parts) > 5
    assert min(map(len, parts[:-1])) >= 256
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(3000))
    for one, two in pairwise(parts):
        assert boxes[one, 2].max() < boxes[two, 0].min()


def test_nms_of_nothing_and_of_half() -> None:
    assert mmcv_ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)[1].shape == (0,)
    boxes, scores = (
        torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 7], [20, 20, 30, 30]]),
        torch.tensor([0.5, 1, 0.25]),
    )
    assert mmcv_ops.nms(boxes.half(), scores.half(), 0.5)[1].tolist() == [1, 2]


@pytest.mark.parametrize("kind", ["nms", "soft_nms"])
def test_batched_nms_keeps_classes_apart(kind: str) -> None:
    boxes, scores = scattered_boxes(90)
    labels = torch.arange(90) % 3
    _, together = mmcv_ops.batched_nms(boxes, scores, labels, {"type": kind, "iou_threshold": 0.3})
    function = getattr(mmcv_ops, kind)
    apart = [
        torch.arange(90)[labels == c][function(boxes[labels == c], scores[labels == c], iou_threshold=0.3)[1]]
        for c in range(3)
    ]
    assert sorted(together.tolist()) == sorted(torch.cat(apart).tolist())


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
def test_soft_nms(method: str, offset: int) -> None:
    boxes, scores = scattered_boxes(60)
    left, current, expected = list(range(60)), scores.clone(), []
    while left:
        best = max(left, key=lambda i: float(current[i]))
        expected.append((best, float(current[best])))
        left.remove(best)
        for i in left:
            overlap = iou(boxes[best], boxes[i], offset)
            if method == "gaussian":
                current[i] *= float(np.exp(-(overlap**2) / 0.5))
            elif overlap >= 0.3:
                current[i] *= 1 - overlap if method == "linear" else 0
        left = [i for i in left if current[i] >= 0.05]
    dets, inds = mmcv_ops.soft_nms(boxes, scores, 0.3, 0.5, 0.05, method, offset)
    assert inds.tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(dets[:, 4], [s for _, s in expected], rtol=1e-5)
    torch.testing.assert_close(dets[:, :4], boxes[inds])
    assert mmcv_ops.soft_nms(torch.zeros(0, 4), torch.zeros(0))[1].shape == (0,)


def test_soft_nms_ties_are_taken_in_mmcv_order() -> None:
    """Dropping a box moves the last one to its place, which decides between equal scores."""
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]])
    _, inds = mmcv_ops.soft_nms(boxes, torch.tensor([0.9, 0.5, 0.5, 0.5]), 0.5, min_score=0.1, method="naive")
    assert inds.tolist() == [0, 3, 2]


def test_suppression_of_boxes_that_carry_gradients() -> None:
    boxes, scores = scattered_boxes(9)
    plain = mmcv_ops.soft_nms(boxes, scores)[1]
    assert torch.equal(mmcv_ops.soft_nms(boxes.requires_grad_(), scores.requires_grad_())[1], plain)
    assert mmcv_ops.nms(boxes, scores, 0.3)[0].requires_grad


def test_nms_match() -> None:
    boxes, scores = scattered_boxes(70)
    left, expected = scores.argsort(descending=True).tolist(), []
    while left:
        group = [left[0], *(i for i in left[1:] if iou(boxes[left[0]], boxes[i]) >= 0.3)]
        expected.append(group)
        left = [i for i in left if i not in group]
    groups = mmcv_ops.nms_match(torch.cat([boxes, scores[:, None]], 1), 0.3)
    assert [g.tolist() for g in groups] == expected
    assert max(map(len, expected)) > 2


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("mode", ["iou", "iof"])
def test_bbox_overlaps(mode: str, offset: int, device: str) -> None:
    one, two = scattered_boxes(6)[0], scattered_boxes(9)[0]
    ours = mmcv_ops.bbox_overlaps(one.to(device), two.to(device), mode, offset=offset).cpu()
    paired = mmcv_ops.bbox_overlaps(one.to(device), two[:6].to(device), mode, True, offset).cpu()
    torch.testing.assert_close(paired, ours[:, :6].diagonal())
    if mode == "iou":
        expected = torch.tensor([[iou(a, b, offset) for b in two] for a in one])
    else:
        areas = (one[:, 2:] - one[:, :2] + offset).prod(1)
        union = torch.tensor([[iou(a, b, offset) for b in two] for a in one])
        two_areas = (two[:, 2:] - two[:, :2] + offset).prod(1)
        expected = union * (areas[:, None] + two_areas) / (1 + union) / areas[:, None]
    torch.testing.assert_close(ours, expected)
