"""Fitting configs to data: classes of every head, data sets, evaluators, best checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
from fit_cases import DEEPLAB, FASTER

from mmbackbones.compose.classes import set_num_classes
from mmbackbones.compose.configs import (
    kind,
    load_config,
    pipelines,
    walk,
)
from mmbackbones.compose.fit import Settings, fit, set_data
from mmbackbones.data.shapes import CLASSES
from mmbackbones.errors import InputError

#: For the fixture ``shapes``.
SHAPES = dict(train=10, val=4)


def class_counts(model: object) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for key, node in walk(model):
        if "num_classes" in node:
            found.setdefault(key, []).append(node["num_classes"])
    return found


# -- number of classes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco",
        "mmdet::retinanet/retinanet_r50_fpn_1x_coco",
        "mmdet::point_rend/point-rend_r50-caffe_fpn_ms-1x_coco",
        "mmdet::yolox/yolox_tiny_8xb8-300e_coco",
        "mmdet::detr/detr_r50_8xb2-150e_coco",
        "mmdet::seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1",
        "mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024",
        "mmseg::ocrnet/ocrnet_hr18_4xb2-80k_cityscapes-512x1024",
    ],
)
def test_every_head_gets_the_new_count(name: str) -> None:
    model = load_config(name).model
    set_num_classes(model, 7)
    counts = class_counts(model)
    assert counts
    assert {count for values in counts.values() for count in values} == {7}


def test_a_proposal_network_keeps_its_one_class() -> None:
    model = load_config("mmdet::faster_rcnn/faster-rcnn_r50_fpn_fcos-rpn_1x_coco").model
    set_num_classes(model, 7)
    assert model.rpn_head.num_classes == 1
    assert model.roi_head.bbox_head.num_classes == 7


def test_a_boundary_head_keeps_its_two_classes() -> None:
    model = load_config("mmseg::stdc/stdc1_4xb12-80k_cityscapes-512x1024").model
    set_num_classes(model, 7)
    assert [head.num_classes for head in model.auxiliary_head] == [7, 7, 2]
    assert model.decode_head.num_classes == 7


def test_weights_with_a_no_object_entry_grow_with_the_classes() -> None:
    head = load_config("mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco").model
    set_num_classes(head, 3)
    assert head.panoptic_head.num_things_classes == 3
    assert head.panoptic_head.loss_cls.class_weight == [1.0] * 3 + [0.1]


def test_unequal_weights_of_other_classes_are_dropped_aloud() -> None:
    model = load_config("mmseg::pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes").model
    notes = set_num_classes(model, 3)
    assert all(node["class_weight"] is None for _, node in walk(model) if "class_weight" in node)
    assert any("19 other classes were dropped" in note for note in notes)


def test_a_one_channel_head_becomes_a_channel_for_each_class() -> None:
    model = load_config("mmseg::unet/unet-s5-d16_fcn_4xb4-ce-1.0-dice-3.0-40k_drive-64x64").model
    loss = dict(type="CrossEntropyLoss", use_sigmoid=True)
    model.decode_head.update(num_classes=2, out_channels=1, threshold=0.3, loss_decode=loss)
    notes = set_num_classes(model, 4)
    assert "out_channels" not in model.decode_head
    assert "threshold" not in model.decode_head
    assert model.decode_head.loss_decode.use_sigmoid is False
    assert any("one channel for each class" in note for note in notes)


def test_a_semantic_branch_is_refused() -> None:
    model = load_config("mmdet::htc/htc_r50_fpn_1x_coco").model
    with pytest.raises(InputError, match="without `semantic_head`"):
        set_num_classes(model, 3)


# -- data -----------------------------------------------------------------------------------------


def test_data_replaces_sets_classes_and_metrics(shapes: Path, tmp_path: Path) -> None:
    cfg = load_config("mmdet::pascal_voc/faster-rcnn_r50_fpn_1x_voc0712")  # repeated, joined data sets
    fit(cfg, Settings(shapes), cache_dir=tmp_path)
    train = cfg.train_dataloader.dataset
    assert kind(train) == "CocoDataset"
    assert tuple(train.metainfo.classes) == CLASSES
    assert len(train.metainfo.palette) == len(CLASSES)
    assert cfg.val_dataloader.dataset.test_mode
    assert kind(cfg.val_evaluator) == "CocoMetric"
    assert cfg.model.roi_head.bbox_head.num_classes == len(CLASSES)


def test_a_mixing_wrapper_stays(shapes: Path, tmp_path: Path) -> None:
    cfg = load_config("mmdet::yolox/yolox_tiny_8xb8-300e_coco")
    fit(cfg, Settings(shapes), cache_dir=tmp_path)
    assert kind(cfg.train_dataloader.dataset) == "MultiImageMixDataset"
    assert tuple(cfg.train_dataloader.dataset.dataset.metainfo.classes) == CLASSES


def test_segmentation_labels_are_plain_indices(shapes: Path, tmp_path: Path) -> None:
    cfg = load_config("mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512")  # background label dropped
    fit(cfg, Settings(shapes), cache_dir=tmp_path)
    loads = [n for p in pipelines(cfg, "train", "val") for n in p if kind(n) == "LoadAnnotations"]
    assert not any("reduce_zero_label" in node for node in loads)
    assert cfg.train_dataloader.dataset.reduce_zero_label is False
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == len(CLASSES) + 1


@pytest.mark.parametrize(("name", "figure"), [(FASTER, "coco/bbox_mAP"), (DEEPLAB, "mIoU")])
def test_the_best_checkpoint_is_that_of_the_main_figure(
    name: str, figure: str, shapes: Path, tmp_path: Path
) -> None:
    cfg = load_config(name)
    fit(cfg, Settings(shapes), cache_dir=tmp_path)
    assert cfg.default_hooks.checkpoint.save_best == figure
    assert cfg.default_hooks.checkpoint.max_keep_ckpts == 2
    assert "max_keep_ckpts" not in load_config(name).default_hooks.checkpoint


def test_masks_are_needed_where_masks_are_trained(shapes: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from mmbackbones.data.layouts import recognise

    cfg = load_config("mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco")
    data = recognise(shapes, "detection", cache_dir=tmp_path)
    with pytest.raises(InputError, match="objects without a mask.*config for boxes"):
        set_data(cfg, replace(data, has_masks=False))
    set_data(cfg, data)
    assert cfg.val_evaluator.metric == ["bbox", "segm"]


def test_the_configs_own_data_may_be_missing(tmp_path: Path) -> None:
    cfg = load_config(DEEPLAB)
    cfg.train_dataloader.dataset.data_root = str(tmp_path / "nowhere")
    with pytest.raises(InputError, match="own data is not there.*--data"):
        fit(cfg, Settings(epochs=3), cache_dir=tmp_path)


def test_no_loader_worker_means_no_persistent_one(shapes: Path, tmp_path: Path) -> None:
    cfg = load_config(FASTER)
    fit(cfg, Settings(shapes, options=["train_dataloader.num_workers=0"]), cache_dir=tmp_path)
    assert cfg.train_dataloader.persistent_workers is False
    assert cfg.val_dataloader.persistent_workers is True
