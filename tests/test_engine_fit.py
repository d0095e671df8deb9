"""Fitting configs to data and options: classes, image scale, length, batch size, learning rate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmbackbones.cli.options import normalise
from mmbackbones.compose import schedule, warmup
from mmbackbones.compose.classes import set_num_classes
from mmbackbones.compose.configs import (
    apply_options,
    find_config,
    kind,
    load_config,
    parse_options,
    pipelines,
    shipped_names,
    task_of,
    walk,
)
from mmbackbones.compose.fit import Settings, fit, set_data
from mmbackbones.compose.scale import parse_scale, set_scale
from mmbackbones.data.shapes import CLASSES, write_shapes
from mmbackbones.engine.report import read_history
from mmbackbones.engine.train import write_config
from mmbackbones.errors import InputError

FASTER = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco"
DEEPLAB = "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("fit") / "shapes", train=10, val=4, size=(64, 64))


def class_counts(model: object) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for key, node in walk(model):
        if "num_classes" in node:
            found.setdefault(key, []).append(node["num_classes"])
    return found


# -- finding and reading configs ------------------------------------------------------------------


def test_names_of_all_three_packages_are_found() -> None:
    ours = shipped_names("mmbackbones")
    assert "detection/faster-rcnn_resnet50_fpn_1x_coco" in ours
    for name in (ours[0], f"{ours[0]}.py", ours[0].rpartition("/")[2], FASTER, DEEPLAB):
        assert find_config(name).is_file()


def test_the_scope_tells_the_task() -> None:
    assert task_of(load_config(FASTER)) == "detection"
    assert task_of(load_config(DEEPLAB)) == "segmentation"


def test_a_lazy_config_is_read_like_a_text_config(tmp_path: Path) -> None:
    lazy = tmp_path / "lazy.py"
    lazy.write_text(
        "from mmdet.models.detectors import FasterRCNN\n"
        "default_scope = 'mmdet'\n"
        "model = dict(type=FasterRCNN, roi_head=dict(bbox_head=dict(num_classes=80)))\n"
    )
    cfg = load_config(str(lazy))
    assert kind(cfg.model) == "FasterRCNN"
    assert set_num_classes(cfg.model, 3) == []
    assert cfg.model.roi_head.bbox_head.num_classes == 3


def test_options_have_mmengines_values() -> None:
    assert parse_options(["a={'type': 'X', 'b': (1, {'c': None})}", "d=[{'e': 1}, 2]"]) == {
        "a": {"type": "X", "b": (1, {"c": None})},
        "d": [{"e": 1}, 2],
    }
    found = parse_options(["a.b=1", "c=[1,2.5,x]", "d=True", "e=(1,2)"])
    assert found == {"a.b": 1, "c": [1, 2.5, "x"], "d": True, "e": (1, 2)}
    cfg = load_config(FASTER)
    apply_options(cfg, {"model.rpn_head.anchor_generator.scales": [4], "randomness.seed": 3})
    assert cfg.model.rpn_head.anchor_generator.scales == [4]
    assert cfg.randomness.seed == 3


@pytest.mark.parametrize("value", ["dict(type='X',b=1)", "[dict(a=1,b=2)]", "{a:1}", "x(1,2)", "dict(a=1),2"])
def test_values_that_mmengine_recurses_on_are_refused(value: str) -> None:
    with pytest.raises(
        InputError, match=r"--cfg-options 'model.neck=.* cannot be read. Write a dict in quotes"
    ):
        parse_options([f"model.neck={value}"])


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


# -- image scale ----------------------------------------------------------------------------------


def test_scale_is_exact_where_the_config_has_its_own() -> None:
    cfg = load_config(FASTER)
    set_scale(cfg, (320, 240))
    scales = [node["scale"] for p in pipelines(cfg, "train", "val", "test") for node in p if "scale" in node]
    assert scales == [(320, 240)] * 3


def test_crops_and_ranges_keep_their_share_of_the_image() -> None:
    cfg = load_config(DEEPLAB)
    set_scale(cfg, (480, 360))  # a reference of 2048x1024: 360/1024 of every other size
    crop = next(node for p in pipelines(cfg, "train") for node in p if kind(node) == "RandomCrop")
    assert crop["crop_size"] == (176, 360)
    assert tuple(cfg.model.data_preprocessor.size) == (176, 360)
    resize = next(node for p in pipelines(cfg, "train") for node in p if kind(node) == "RandomResize")
    assert resize["scale"] == (480, 360)
    cfg = load_config("mmdet::yolox/yolox_tiny_8xb8-300e_coco")
    set_scale(cfg, (208, 208))
    mosaic = next(node for p in pipelines(cfg, "train") for node in p if kind(node) == "Mosaic")
    assert tuple(mosaic["img_scale"]) == (320, 320)  # 640 of a reference of 416


@pytest.mark.parametrize("text", ["640", "640x", "axb", "640x480x3", "0x0", "16x640", "-1x4"])
def test_a_malformed_scale_says_how_to_write_it(text: str) -> None:
    with pytest.raises(InputError, match=f"--img-scale '{text}' is not WIDTHxHEIGHT.*640x480"):
        parse_scale(text)


# -- length, batch size, learning rate ------------------------------------------------------------


def test_epochs_stretch_the_schedule() -> None:
    cfg = load_config(FASTER)
    schedule.set_epochs(cfg, 24, steps=1000)
    assert cfg.train_cfg.max_epochs == 24
    warmup, steps = cfg.param_scheduler
    assert (steps["milestones"], steps["end"]) == ([16, 22], 24)
    assert warmup["end"] == 500  # in iterations: stays
    schedule.set_epochs(cfg, 1, steps=1000)
    assert steps["milestones"] == [1]


def test_epochs_of_an_iteration_based_config_become_iterations() -> None:
    cfg = load_config(DEEPLAB)
    schedule.set_epochs(cfg, 40, steps=25)
    assert cfg.train_cfg.max_iters == 1000
    assert cfg.param_scheduler[0]["end"] == 1000
    assert cfg.train_cfg.val_interval == cfg.default_hooks.checkpoint.interval == 50


def test_hooks_of_the_last_epochs_follow_length_and_scale() -> None:
    cfg = load_config("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco")
    schedule.set_epochs(cfg, 30, steps=100)
    set_scale(cfg, (320, 320))
    (switch,) = [hook for hook in cfg.custom_hooks if "switch_epoch" in hook]
    assert switch["switch_epoch"] == 28
    resize = next(step for step in switch["switch_pipeline"] if kind(step) == "RandomResize")
    assert tuple(resize["scale"]) == (320, 320)


def test_a_config_without_a_plain_optimizer_keeps_its_rates() -> None:
    cfg = load_config(FASTER)
    cfg.optim_wrapper = {"constructor": "Own"}
    base = schedule.base_batch(cfg)
    assert "left to the config" in schedule.set_lr(cfg, None, base, 1)
    with pytest.raises(InputError, match="has no optimizer.lr"):
        schedule.set_lr(cfg, 0.1, base, 1)


def test_a_warm_up_longer_than_a_tenth_is_cut_aloud() -> None:
    cfg = load_config(FASTER)
    (note,) = warmup.limit_warmup(cfg, steps=20)
    assert cfg.param_scheduler[0]["end"] == 24
    assert note == "warm-up 24 instead of 500 iterations: the training has 240"
    assert warmup.limit_warmup(load_config(FASTER), steps=7000) == []


@pytest.mark.parametrize("name", [FASTER, DEEPLAB])
def test_a_training_of_one_step_keeps_only_schedulers_that_act(name: str) -> None:
    cfg = load_config(name)
    schedule.set_epochs(cfg, 1, steps=1)
    warmup.limit_warmup(cfg, steps=1)
    warmup.drop_ended(cfg, steps=1)
    assert cfg.param_scheduler
    assert all(one.get("begin", 0) < one.get("end", 2) for one in cfg.param_scheduler)


@pytest.mark.parametrize(
    ("name", "base", "source"),
    [
        (FASTER, 16, "auto_scale_lr"),
        (DEEPLAB, 8, "4xb2"),
        ("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco", 256, "8xb32"),  # it inherits 16
        ("mmdet::foveabox/fovea_r50_fpn_gn-head-align_ms-640-800-4xb4-2x_coco", 16, "4xb4"),
        ("segmentation/swiftnet_resnet18-scratch_1xb8-8k_cityscapes-360x480", 8, "1xb8"),
    ],
)
def test_learning_rate_follows_the_total_batch(name: str, base: int, source: str) -> None:
    cfg = load_config(name)
    before = cfg.optim_wrapper.optimizer.lr
    found = schedule.base_batch(cfg)
    assert (found.size, found.source) == (base, source)
    cfg.train_dataloader.batch_size = 4
    note = schedule.set_lr(cfg, None, found, world_size=3)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(before * 12 / base)
    assert f"x 12/{base}" in note
    assert f"for {base} images a step ({source})" in note


def test_scaling_that_the_config_turns_on_has_the_configs_base() -> None:
    cfg = load_config("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco")
    cfg.auto_scale_lr.enable = True
    assert schedule.base_batch(cfg).size == 16
    nameless = Config({key: value for key, value in cfg.to_dict().items() if key != "auto_scale_lr"})
    assert schedule.base_batch(nameless) == schedule.BaseBatch(32, "its own batch")


def test_a_resolved_config_is_not_scaled_again(shapes: Path, tmp_path: Path) -> None:
    cfg = load_config("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco")
    fit(cfg, Settings(shapes, options=["train_dataloader.batch_size=32"]), cache_dir=tmp_path)
    rate = cfg.optim_wrapper.optimizer.lr
    assert rate == pytest.approx(0.0005)  # its recipe: 0.004 for 8 x 32
    again = load_config(str(write_config(cfg, tmp_path / "config.py")))
    fit(again, Settings(shapes), cache_dir=tmp_path)
    assert again.optim_wrapper.optimizer.lr == rate
    for option in ("train_dataloader.batch_size=8", "auto_scale_lr.base_batch_size=16"):
        cfg = load_config("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco")
        fit(cfg, Settings(shapes, options=[option]), cache_dir=tmp_path)
        expected = 0.004 * 8 / 256 if "train" in option else 0.004 * 32 / 16
        assert cfg.optim_wrapper.optimizer.lr == pytest.approx(expected)


def test_a_given_learning_rate_stays(shapes: Path, tmp_path: Path) -> None:
    cfg = load_config(FASTER)
    fit(cfg, Settings(shapes, batch_size=2, lr=0.003), cache_dir=tmp_path)
    assert cfg.optim_wrapper.optimizer.lr == 0.003
    cfg = load_config(FASTER)
    fit(cfg, Settings(shapes, batch_size=2, options=["optim_wrapper.optimizer.lr=0.004"]), cache_dir=tmp_path)
    assert cfg.optim_wrapper.optimizer.lr == 0.004


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(batch_size=0), "--batch-size 0: at least 1 image"),
        (Settings(epochs=0), "--epochs 0: at least 1 epoch"),
        (Settings(lr=-1.0), "--lr -1.0: a learning rate must be above 0"),
        (Settings(options=["lr"]), "--cfg-options 'lr' is not key=value"),
        (Settings(options=["a b=1"]), "--cfg-options 'a b=1' is not key=value"),
        (Settings(options=["optim_wraper.x=1"]), "has no 'optim_wraper'. Nearest: optim_wrapper"),
    ],
)
def test_bad_settings(settings: Settings, message: str, shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fit(load_config(FASTER), Settings(**{**vars(settings), "data": shapes}), cache_dir=tmp_path)
    assert message in str(caught.value)


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


def test_a_config_without_training_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no training parts"):
        fit(Config({"model": {"type": "x"}}), Settings(), cache_dir=tmp_path)


# -- spellings of the command line ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--img-scale", "640x480"], ["--img-scale=640x480"]),
        (["--img-scale", "640", "480", "x"], ["--img-scale=640x480", "x"]),
        (["--cfg-options", "a=1", "b=2", "--amp"], ["--cfg-options=a=1", "--cfg-options=b=2", "--amp=auto"]),
        (["--cfg-options", "a=1", "c.pth"], ["--cfg-options=a=1", "c.pth"]),
        (["--cfg-options", "nonsense"], ["--cfg-options=nonsense"]),
        (["--resume"], ["--resume=auto"]),
        (["--resume", "--amp"], ["--resume=auto", "--amp=auto"]),
        (["--amp", "bf16", "c.py"], ["--amp=bf16", "c.py"]),
        (["--amp", "detection/c"], ["--amp=auto", "detection/c"]),
        (["--resume", "work/epoch_1.pth"], ["--resume=work/epoch_1.pth"]),
        (["c.py", "--seed", "1"], ["c.py", "--seed", "1"]),
    ],
)
def test_words_are_joined(given: list[str], meant: list[str]) -> None:
    assert normalise(given) == meant


# -- history --------------------------------------------------------------------------------------


def test_a_history_is_that_of_one_training(tmp_path: Path) -> None:
    runs = {
        "20260101_000000": [{"loss": 9.0, "lr": 0.1, "step": 50}, {"mIoU": 1.0, "step": 90}],
        "20260102_000000": [{"loss": 3.0, "lr": 0.1, "step": 1}, {"loss": 2.0, "lr": 0.1, "step": 2}],
        "20260103_000000": [{"loss": 1.0, "lr": 0.1, "step": 2}, {"mIoU": 5.0, "step": 2, "time": 1.0}],
    }
    for name, rows in runs.items():
        (tmp_path / name / "vis_data").mkdir(parents=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name / "vis_data" / "scalars.json").write_text(lines)
    history = read_history(tmp_path, "20260102_000000")
    assert history.losses == {1: 3.0, 2: 1.0}
    assert history.evaluations == {2: {"mIoU": 5.0}}
