"""What mmdet makes of recognised data."""

from __future__ import annotations

import json

import pytest
from detection_sets import coco, make_voc, write

from mmbackbones.data.layouts import dataset_cfg, evaluator_cfg
from mmbackbones.data.shapes import CLASSES, write_shapes


@pytest.fixture(scope="module")
def mmdet_datasets():
    return pytest.importorskip("mmdet.datasets", reason="mmdet is in the extra mmbackbones[mm]")


def build(data, split: str, pipeline: list[dict]):
    from mmdet.registry import DATASETS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    return DATASETS.build(dataset_cfg(data, split, pipeline))


LOAD = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="PackDetInputs"),
]


def test_mmdet_loads_the_shapes(tmp_path, mmdet_datasets, look):
    root = write_shapes(tmp_path / "shapes", train=3, val=2)
    data = look(root)
    assert (data.classes, data.has_masks, data.notes) == (CLASSES, True, ())
    for split, count in (("train", 3), ("val", 2)):
        dataset = build(data, split, LOAD)
        assert len(dataset) == count
        assert dataset.metainfo["classes"] == CLASSES
        content = json.loads((root / f"{split}.json").read_text())
        for sample in dataset:
            truth = sample["data_samples"].gt_instances
            mine = [one for one in content["annotations"] if one["image_id"] == sample["data_samples"].img_id]
            assert tuple(sample["inputs"].shape) == (3, 192, 192)
            assert [CLASSES[label] for label in truth.labels] == [
                CLASSES[one["category_id"] - 1] for one in mine
            ]
            assert truth.masks.areas.tolist() == [one["area"] for one in mine]
            corners = [[x, y, x + w, y + h] for x, y, w, h in (one["bbox"] for one in mine)]
            assert truth.bboxes.tensor.tolist() == corners


def test_mmdet_scores_perfect_masks_as_perfect(tmp_path, mmdet_datasets, look):
    import torch
    from mmdet.registry import METRICS
    from mmdet.structures.mask import encode_mask_results

    data = look(write_shapes(tmp_path / "shapes", train=1, val=1))
    dataset = build(data, "val", LOAD)
    metric = METRICS.build(evaluator_cfg(data, "val", masks=True))
    metric.dataset_meta = dataset.metainfo
    sample = dataset[0]["data_samples"]
    truth = sample.gt_instances
    found = dict(
        bboxes=truth.bboxes.tensor,
        labels=truth.labels,
        scores=torch.ones(len(truth)),
        masks=encode_mask_results(truth.masks.masks),
    )
    metric.process({}, [dict(img_id=sample.img_id, ori_shape=sample.ori_shape, pred_instances=found)])
    scores = metric.evaluate(size=1)
    assert (scores["coco/bbox_mAP"], scores["coco/segm_mAP"]) == (1.0, 1.0)


def test_mmdet_sees_the_classes_in_our_order(plain, mmdet_datasets, look):
    data = look(plain)
    sample = build(data, "train", [LOAD[0], dict(type="LoadAnnotations", with_bbox=True), LOAD[2]])[0]
    assert [data.classes[label] for label in sample["data_samples"].gt_instances.labels] == ["dog", "cat"]


def test_mmdet_leaves_images_without_objects_out_of_training_only(plain, mmdet_datasets, look):
    for name, stems in (("train", "ab"), ("val", "ac")):
        content = coco([f"{stem}.jpg" for stem in stems])
        content["annotations"] = content["annotations"][:2]
        write(plain / f"{name}.json", content)
    data = look(plain)
    assert len(build(data, "train", [])) == 1
    assert len(build(data, "val", [])) == 2


def test_mmdet_ignores_difficult_objects(tmp_path, mmdet_datasets, look):
    data = look(make_voc(tmp_path / "voc"))
    sample = build(data, "train", [LOAD[0], dict(type="LoadAnnotations", with_bbox=True), LOAD[2]])[0]
    assert [data.classes[label] for label in sample["data_samples"].gt_instances.labels] == ["sheep"]
    assert [data.classes[label] for label in sample["data_samples"].ignored_instances.labels] == ["dog"]


def test_mmdet_scores_perfect_boxes_as_perfect(plain, mmdet_datasets, look):
    import torch
    from mmdet.registry import METRICS

    content = coco(["c.jpg"])
    content["categories"].reverse()  # ids and order differ from train.json's
    content["annotations"][0]["bbox"] = [20, 10, 10, 12]
    write(plain / "val.json", content)
    data = look(plain)
    dataset = build(data, "val", [LOAD[0], dict(type="LoadAnnotations", with_bbox=True), LOAD[2]])
    metric = METRICS.build(evaluator_cfg(data, "val"))
    metric.dataset_meta = dataset.metainfo
    sample = dataset[0]["data_samples"]
    truth = sample.gt_instances
    found = dict(bboxes=truth.bboxes.tensor, labels=truth.labels, scores=torch.ones(len(truth)))
    metric.process({}, [dict(img_id=sample.img_id, ori_shape=sample.ori_shape, pred_instances=found)])
    assert metric.evaluate(size=1)["coco/bbox_mAP"] == 1.0
