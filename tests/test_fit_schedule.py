"""Fitting configs to options: image scale, length, warm-up, batch size, learning rate."""

from __future__ import annotations

from pathlib import Path

import pytest
from fit_cases import DEEPLAB, FASTER
from mmengine.config import Config

from mmbackbones.compose import schedule, warmup
from mmbackbones.compose.configs import (
    kind,
    load_config,
    pipelines,
)
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.compose.scale import parse_scale, set_scale
from mmbackbones.engine.train import write_config
from mmbackbones.errors import InputError

#: For the fixture ``shapes``.
SHAPES = dict(train=10, val=4)


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
