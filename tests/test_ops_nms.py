"""Suppression and overlap of boxes, called as mmcv's own Python side calls them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import mmbackbones  # noqa: F401 (offers mmcv._ext)

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
