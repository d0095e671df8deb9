"""RandAugment: boxes stay on their pixels, masks and label maps follow, strength rises, bad input raises."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmbackbones.data.layouts import dataset_cfg, recognise
from mmbackbones.data.shapes import write_shapes
from mmbackbones.errors import InputError
from mmbackbones.finetune.augment import GEOMETRIC, OPS, PHOTOMETRIC, RandAugment
from mmbackbones.finetune.warp import visible

HIGH, WIDE = 150, 210


def tolerance(name: str, strength: float, cut: bool) -> float:
    """How far, in pixels, the bounds of a moved box may reach beyond those of its pixels.

    A pixel belongs to the mask if its centre lies in the moved box, so tips narrower than a pixel have none.
    The corners of a box stay wider than 71 degrees (a shear by 0.3): 0.5 / tan(35 deg) = 0.7 px to a
    place one pixel wide, and at most half a pixel more to a centre. Where the image's border cuts a
    sloping edge, the tip has the edge's slope: 1 / slope pixels.
    """
    slope = math.tan(math.radians(30 * abs(strength))) if name == "Rotate" else 0.3 * abs(strength)
    return 0.5 + 1 / slope if cut and not name.startswith("Translate") else 1.3


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) whole pixels, also at the border of the image, of at least 6 px."""
    low = rng.integers(0, (WIDE - 6, HIGH - 6), (count, 2))
    high = np.minimum(low + rng.integers(6, 90, (count, 2)), (WIDE, HIGH))
    return np.concatenate([low, high], 1)


def sample(boxes: np.ndarray, polygons: bool = False) -> dict[str, Any]:
    """What mmdet's loading gives: each mask is its box, the label map holds 1 where any box is."""
    masks = np.zeros((len(boxes), HIGH, WIDE), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    corners = [[np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)] for x1, y1, x2, y2 in boxes]
    label_map = masks.any(0).astype(np.uint8)
    return dict(
        img=np.repeat(label_map[..., None] * 255, 3, 2),
        img_shape=(HIGH, WIDE),
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes, dtype=torch.float32)),
        gt_bboxes_labels=np.arange(len(boxes)),
        gt_ignore_flags=np.zeros(len(boxes), bool),
        gt_masks=PolygonMasks(corners, HIGH, WIDE) if polygons else BitmapMasks(masks, HIGH, WIDE),
        gt_seg_map=label_map,
        seg_fields=["gt_seg_map"],
    )


def bounds(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("strength", [-1.0, -0.3, 0.62, 1.0])
@pytest.mark.parametrize("name", GEOMETRIC)
def test_boxes_are_the_bounds_of_their_pixels(name: str, strength: float) -> None:
    boxes = random_boxes(np.random.default_rng(7), 40)
    moved = RandAugment().apply(name, sample(boxes), strength)
    found, masks = moved["gt_bboxes"].tensor.numpy(), moved["gt_masks"].masks
    kept = moved["gt_bboxes_labels"]
    assert 10 < len(kept) == len(found) == len(masks) == len(moved["gt_ignore_flags"])
    assert (found >= 0).all()
    assert (found <= [WIDE, HIGH, WIDE, HIGH]).all()
    assert (found[:, 2:] - found[:, :2] >= 1).all()
    for box, mask in zip(found, masks, strict=True):
        if mask.any():
            cut = (box == [0, 0, WIDE, HIGH]).any()
            outwards = (box - bounds(mask)) * [-1, -1, 1, 1]
            assert outwards.min() > -0.55  # no pixel centre is outside, to OpenCV's 1/32 px
            assert outwards.max() < tolerance(name, strength, cut), (box, bounds(mask))
        else:  # a sliver between pixel centres
            assert (box[2:] - box[:2]).min() < 2
    gone = np.setdiff1d(np.arange(len(boxes)), kept)
    alone = RandAugment().apply(name, sample(np.vstack([boxes[gone], boxes[kept[:1]]])), strength)
    assert alone["gt_bboxes_labels"].tolist() == [len(gone)]
    assert (moved["gt_seg_map"] == 1).sum() == masks.any(0).sum()  # none that had pixels left is gone


@pytest.mark.parametrize("name", GEOMETRIC)
def test_polygons_bitmaps_label_map_and_image_stay_together(name: str) -> None:
    boxes = random_boxes(np.random.default_rng(3), 4)
    drawn = RandAugment(img_border_value=0).apply(name, sample(boxes), 0.7)
    shapes = RandAugment().apply(name, sample(boxes, polygons=True), 0.7)["gt_masks"].to_ndarray()
    assert shapes.shape == drawn["gt_masks"].masks.shape
    edge = 4 * sum(mask.sum() ** 0.5 for mask in shapes)  # pixels along the outlines may differ
    assert (shapes != drawn["gt_masks"].masks).sum() < edge
    label_map = drawn["gt_seg_map"]
    assert set(np.unique(label_map)) == {0, 1, 255}
    assert label_map.dtype == np.uint8
    assert ((drawn["img"][..., 0] > 127) != (label_map == 1)).sum() < edge
    assert (drawn["img"][label_map == 255] <= 127).mean() > 0.99


def test_a_translation_is_by_its_share_of_the_image() -> None:
    before = sample(random_boxes(np.random.default_rng(0), 3))
    moved = RandAugment(img_border_value=9).apply("TranslateX", before, 20 / (0.45 * WIDE))
    np.testing.assert_array_equal(moved["img"][:, 20:], before["img"][:, :-20])
    assert (moved["img"][:, :20] == 9).all()
    assert (moved["gt_seg_map"][:, :20] == 255).all()
    np.testing.assert_allclose(moved["homography_matrix"], [[1, 0, 20], [0, 1, 0], [0, 0, 1]], atol=1e-5)
    twice = RandAugment().apply("TranslateX", moved, 20 / (0.45 * WIDE))
    np.testing.assert_allclose(twice["homography_matrix"][0], [1, 0, 40], atol=1e-5)


def test_rotation_and_shear_leave_the_centre() -> None:
    around = np.array([[WIDE // 2 - 8, HIGH // 2 - 8, WIDE // 2 + 8, HIGH // 2 + 8]])
    for name in ("Rotate", "ShearX", "ShearY"):
        box = RandAugment().apply(name, sample(around), 1.0)["gt_bboxes"].tensor[0]
        torch.testing.assert_close((box[:2] + box[2:]) / 2, torch.tensor([WIDE / 2, HIGH / 2]))


def test_objects_out_of_sight_go_with_all_that_is_theirs() -> None:
    boxes = np.array([[0, 10, 20, 40], [100, 10, 140, 40], [0, 60, 30, 90]])
    moved = RandAugment().apply("TranslateX", sample(boxes), -0.5)  # 47 px to the left
    assert moved["gt_bboxes_labels"].tolist() == [1]
    assert len(moved["gt_bboxes"]) == len(moved["gt_masks"]) == len(moved["gt_ignore_flags"]) == 1
    every = sample(boxes[[0, 2]])
    assert RandAugment().apply("TranslateX", every, -0.5) is every
    none = sample(boxes[:0])
    assert len(RandAugment().apply("TranslateX", none, -0.5)["gt_bboxes"]) == 0


def test_a_box_that_touches_the_image_from_outside_is_out_of_sight() -> None:
    left, top, bottom = -20.79764627391198, 900.9677729666472, 1150.9081288259538
    corners = np.array([(left, top), (0, top), (0, bottom), (left, bottom)])  # OpenCV names a point far away
    assert visible(corners, 33, 1489).shape == (0, 2)
    assert visible(corners + (1, 0), 33, 1489).max(0).tolist() == pytest.approx([1, bottom])


def test_kinds_of_boxes_and_many_masks() -> None:
    boxes = random_boxes(np.random.default_rng(1), 300)  # mmdet's own way ends at OpenCV's 128 channels
    moved = RandAugment().apply("ShearX", sample(boxes), 0.1)
    arrays = {**sample(boxes), "gt_bboxes": boxes.astype(np.float32)}
    plain = RandAugment().apply("ShearX", arrays, 0.1)["gt_bboxes"]
    assert plain.dtype == np.float32
    np.testing.assert_array_equal(plain, moved["gt_bboxes"].numpy())
    wide = {**sample(boxes[:2]), "gt_seg_map": np.full((HIGH, WIDE), 70_000, np.int64)}  # panoptic ids
    label_map = RandAugment(seg_ignore_label=-1).apply("Rotate", wide, 1.0)["gt_seg_map"]
    assert label_map.dtype == np.int64
    assert set(np.unique(label_map)) == {-1, 70_000}


def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return mmcv.imresize(rng.integers(20, 230, (12, 16, 3), np.uint8), (WIDE, HIGH))


@pytest.mark.parametrize("name", OPS)
def test_strength_rises_from_nothing(name: str) -> None:
    before = dict(img=picture())
    changes = []
    for strength in (0.0, 0.3, 1.0):
        for sign in (1, -1):
            after = RandAugment().apply(name, before, sign * strength)["img"]
            assert after.dtype == np.uint8
            assert after.shape == (HIGH, WIDE, 3)
            changes.append(np.abs(after.astype(int) - before["img"]).mean())
            if name in GEOMETRIC:  # the part of the image that is new
                labels = {**before, "gt_seg_map": np.zeros((HIGH, WIDE), np.uint8)}
                changes[-1] = (RandAugment().apply(name, labels, sign * strength)["gt_seg_map"] == 255).mean()
    np.testing.assert_array_equal(before["img"], picture())
    if name == "Identity":
        assert not any(changes)
    elif name in ("AutoContrast", "Equalize"):
        assert min(changes) == max(changes) > 0
    else:
        assert changes[0] == changes[1] == 0
        assert 0 < changes[2] < changes[4]
        assert 0 < changes[3] < changes[5]


def test_draws_num_ops_of_all_ops_and_follows_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    augment = RandAugment(num_ops=3, magnitude=4)
    results = [augment(sample(random_boxes(np.random.default_rng(0), 5)))["img"] for _ in range(4)]
    np.random.seed(0)
    again = augment(sample(random_boxes(np.random.default_rng(0), 5)))["img"]
    np.random.seed(0)
    np.testing.assert_array_equal(again, augment(sample(random_boxes(np.random.default_rng(0), 5)))["img"])
    assert any(not np.array_equal(results[0], other) for other in results[1:])
    drawn: list[tuple[str, float]] = []
    monkeypatch.setattr(augment, "apply", lambda name, res, strength: drawn.append((name, strength)) or res)
    for _ in range(200):
        augment(dict(img=picture()))
    assert len(drawn) == 600
    assert {name for name, _ in drawn} == set(OPS)
    assert len(OPS) == 14
    assert {strength for _, strength in drawn} == {0.4, -0.4}


def test_callers_arrays_are_not_changed() -> None:
    before = sample(random_boxes(np.random.default_rng(5), 6))
    copy = sample(random_boxes(np.random.default_rng(5), 6))
    for name in OPS:
        RandAugment().apply(name, before, 0.5)
    assert before.keys() == copy.keys()
    np.testing.assert_array_equal(before["img"], copy["img"])
    np.testing.assert_array_equal(before["gt_masks"].masks, copy["gt_masks"].masks)
    assert torch.equal(before["gt_bboxes"].tensor, copy["gt_bboxes"].tensor)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_in_the_pipelines_of_mmdet_and_mmseg(task: Any, tmp_path: Path) -> None:
    from mmdet.registry import DATASETS as DETECTION  # noqa: N811
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS as SEGMENTATION  # noqa: N811

    data = recognise(
        write_shapes(tmp_path / "shapes", train=6, val=1, size=(64, 64)), task, cache_dir=tmp_path / "cache"
    )
    augment = dict(type="mmbackbones.RandAugment", num_ops=4, magnitude=10)
    if task == "detection":
        load, pack = dict(type="LoadAnnotations", with_bbox=True, with_mask=True), "PackDetInputs"
    else:
        load, pack = dict(type="LoadAnnotations"), "PackSegInputs"
    pipeline = [dict(type="LoadImageFromFile"), load, augment, dict(type=pack)]
    init_default_scope("mmdet" if task == "detection" else "mmseg")
    registry = DETECTION if task == "detection" else SEGMENTATION
    items = [item for _ in range(4) for item in registry.build(dataset_cfg(data, "train", pipeline))]
    assert len(items) == 24
    for item in items:
        assert item["inputs"].shape == (3, 64, 64)
        if task == "detection":
            truth = item["data_samples"].gt_instances
            assert 0 < len(truth.bboxes) == len(truth.masks) == len(truth.labels)
            sides = truth.bboxes.tensor[:, 2:] - truth.bboxes.tensor[:, :2]
            assert sides.min() >= 1
            assert truth.bboxes.tensor.min() >= 0
            assert truth.bboxes.tensor.max() <= 64
    if task == "segmentation":
        labels = torch.cat([item["data_samples"].gt_sem_seg.data for item in items])
        assert {0, 255} < set(labels.unique().tolist()) <= {*range(len(data.classes)), 255}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_ops=0), "num_ops=0 must be a whole number of at least 1"),
        (dict(num_ops=1.5), "num_ops=1.5"),
        (dict(magnitude=11), "magnitude=11 is out of range: 0 .* 10"),
        (dict(magnitude=-1), "magnitude=-1"),
        (dict(magnitude=float("nan")), "magnitude=nan"),
        (dict(magnitude="5"), "magnitude='5'"),
        (dict(img_border_value=256), "img_border_value=256 .* 0 to 255"),
        (dict(ops=["Rotat"]), "Unknown operation 'Rotat' in ops. Nearest: Rotate"),
        (dict(ops=[]), r"ops=\[\] must list names"),
        (dict(ops="Rotate"), "ops='Rotate' must list names"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RandAugment(**arguments)


def test_what_cannot_be_moved_is_refused() -> None:
    from mmdet.structures.bbox import BaseBoxes

    class Rotated(BaseBoxes):
        """Boxes of another kind; only their being so matters."""

        box_dim = 5
        __abstractmethods__ = frozenset()

    Rotated.__abstractmethods__ = frozenset()
    good = sample(random_boxes(np.random.default_rng(0), 2))
    for key, value, message in (
        ("img", good["img"].astype(np.float32), "uint8 and 3 channels, got float32"),
        ("img", good["img"][..., 0], r"got uint8 \(150, 210\)"),
        ("gt_keypoints", np.zeros((2, 3)), "does not move 'gt_keypoints'"),
        ("gt_bboxes", Rotated(torch.zeros(2, 5)), "HorizontalBoxes, not Rotated"),
        ("gt_masks", [1, 2], "PolygonMasks, not list"),
    ):
        with pytest.raises(InputError, match=message):
            RandAugment().apply("Rotate", {**good, key: value}, 0.5)
    for name in PHOTOMETRIC:  # boxes of any kind stay where they are
        RandAugment().apply(name, {**good, "gt_bboxes": Rotated(torch.zeros(2, 5))}, 0.5)
