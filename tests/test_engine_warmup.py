"""The learning rates of the steps that are taken: what is announced is what the optimiser has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmbackbones.compose import warmup
from mmbackbones.compose.configs import is_epoch_based, load_config
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.compose.schedule import set_epochs

IMAGES = 8  # of which one step of an epoch takes all, or as many as the length asks for
CONFIGS = [
    "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco",  # warm-up in iterations, over epochs
    "mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco",
    "mmdet::yolox/yolox_tiny_8xb8-300e_coco",  # warm-up in epochs, quadratic
    "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160",
    "segmentation/swiftnet_resnet18-scratch_1xb8-8k_cityscapes-360x480",  # everything in iterations
    "mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512",
    "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024",  # no warm-up
]
BY_EPOCH = dict(type="LinearLR", start_factor=0.01, by_epoch=True, begin=0, end=3)


@HOOKS.register_module()
class StepRates(Hook):
    """Notes the rate that each step is taken with: before it, as the schedulers step after it."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        (rate,) = {group["lr"] for group in runner.optim_wrapper.param_groups}
        self.rates.append(rate)


#: For the fixture ``shapes``.
SHAPES = dict(train=IMAGES, val=2)


def fitted(name: str, shapes: Path, cache: Path, length: int, **settings: Any) -> tuple[Config, list[str]]:
    """A config, fitted to train ``length`` iterations, all images in each; and what was said."""
    cfg = load_config(name)
    given = Settings(shapes, epochs=length, batch_size=IMAGES, **settings)
    return cfg, fit(cfg, given, cache_dir=cache)


def rates(cfg: Config, work: Path, images: int = 2, batch: int = 2) -> list[float]:
    """The learning rate of each step of a training with the loop and the schedulers of ``cfg``."""
    changes: dict[str, Any] = dict(
        custom_hooks=[dict(type="Recorder"), dict(type="StepRates")],
        default_hooks=dict(logger=dict(type="LoggerHook", interval=1000), checkpoint=None),
    )
    small = tiny.config(work, **changes)
    small.model = dict(type="NoBackbone")
    small.train_dataloader.update(
        batch_size=batch,
        dataset=dict(type="TinyData", length=images),
        sampler=dict(type="DefaultSampler" if is_epoch_based(cfg) else "InfiniteSampler", shuffle=False),
    )
    small.train_cfg = {key: value for key, value in cfg.train_cfg.items() if "val" not in key}
    small.param_scheduler = cfg.get("param_scheduler")
    small.optim_wrapper = dict(optimizer=dict(type="SGD", lr=cfg.optim_wrapper.optimizer.lr))
    runner, _ = tiny.train(small)
    return next(hook.rates for hook in runner.hooks if isinstance(hook, StepRates))


@pytest.mark.parametrize("length", [1, 2, 5, 20, 119, 121])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_announced_rate_is_that_of_the_steps(
    name: str, length: int, shapes: Path, tmp_path: Path
) -> None:
    cfg, notes = fitted(name, shapes, tmp_path, length)
    announced = float(re.search(r"learning rate (\S+)", "\n".join(notes))[1])  # type: ignore[index]
    found = rates(cfg, tmp_path / "work")
    assert len(found) == length
    assert max(found) == pytest.approx(announced, rel=0.03)  # less where a decay begins with the warm-up
    assert found[-1] <= announced
    early = found[: max(1, length // 5)]
    assert max(early) >= 0.9 * announced, "a warm-up takes no more than a tenth"
    warms = any(map(warmup.is_warmup, warmup.schedulers(load_config(name))))
    if warms and length > 20:
        assert found[0] < 0.5 * announced, "where there is room, there is a warm-up"


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("epochs", [1, 2, 4, 12])
@pytest.mark.parametrize("converted", [False, True])
def test_a_warm_up_in_epochs_ends_too(converted: bool, epochs: int, steps: int, tmp_path: Path) -> None:
    """Of 3 in 12 epochs: 1 of 4 would be the start factor alone, for an epoch or for good."""
    cfg = load_config(CONFIGS[0])
    cfg.param_scheduler = [{**BY_EPOCH, "convert_to_iter_based": converted}]
    set_epochs(cfg, epochs, steps)
    warmup.limit_warmup(cfg, steps)
    warmup.drop_ended(cfg, steps)
    found = rates(cfg, tmp_path / "work", images=steps, batch=1)
    assert len(found) == epochs * steps
    assert found[-1] == pytest.approx(cfg.optim_wrapper.optimizer.lr)
    assert found.count(found[-1]) >= epochs * steps / 2


def test_a_decay_from_the_start_is_no_warm_up() -> None:
    cfg = load_config(CONFIGS[0])
    decay = dict(type="LinearLR", start_factor=1.0, end_factor=0.1, by_epoch=False, begin=0, end=200)
    constant = dict(type="ConstantLR", factor=1.0, by_epoch=False, begin=0, end=200)
    cfg.param_scheduler = [decay, constant]
    assert warmup.limit_warmup(cfg, steps=20) == []
    assert [one["end"] for one in cfg.param_scheduler] == [200, 200]


def test_a_training_without_room_for_a_warm_up_says_so(shapes: Path, tmp_path: Path) -> None:
    assert "no warm-up: the training has 5" in fitted(CONFIGS[0], shapes, tmp_path, 5)[1]
    assert not any("warm-up" in note for note in fitted(CONFIGS[-1], shapes, tmp_path, 5)[1])


def test_options_for_a_later_scheduler_meet_that_one(shapes: Path, tmp_path: Path) -> None:
    """Options count the schedulers of the config; that the first falls away must not move them."""
    cfg, _ = fitted(CONFIGS[4], shapes, tmp_path, 5, options=["param_scheduler.1.power=0.5"])
    (poly,) = cfg.param_scheduler
    assert (poly["type"], poly["power"], poly["begin"]) == ("PolyLR", 0.5, 0)
