"""mmengine's EMAHook on a partly frozen backbone: saved, used in validation, resumed, reloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS, MODELS
from test_extras import Falling, Killed
from torch import Tensor

State = dict[str, Tensor]
#: Its folder, the state that each validation saw, and the losses.
Training = tuple[Path, list[State], list[float]]


@HOOKS.register_module()
class SeenInVal(Hook):
    """Keeps the model's state as the validation finds it."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.states: list[State] = []

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if batch_idx == 0:
            self.states.append({key: value.clone() for key, value in runner.model.state_dict().items()})


def config(work: Path, **changes: Any) -> Config:
    """Three epochs of three steps with the first two stages frozen; validated and saved after each."""
    cfg = tiny.config(work, **changes)
    cfg.model.backbone.frozen_stages = 2
    cfg.train_cfg.max_epochs = 3
    cfg.custom_hooks = [
        dict(type="EMAHook", momentum=0.1),
        dict(type="SeenInVal"),
        dict(type="Recorder"),
    ]
    cfg.val_dataloader = cfg.train_dataloader
    cfg.val_evaluator = dict(type="DumpResults", out_file_path=str(work / "results.pkl"))
    cfg.val_cfg = dict(type="ValLoop")
    return cfg


def run(cfg: Config) -> tuple[list[State], list[float]]:
    """What each validation saw, and the losses of the training."""
    runner, seen = tiny.train(cfg)
    return next(hook.states for hook in runner.hooks if isinstance(hook, SeenInVal)), seen.losses


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Training:
    work = tmp_path_factory.mktemp("ema")
    return work, *run(config(work))


def saved(work: Path, name: int | str) -> tuple[State, State]:
    """The averaged weights of a checkpoint, by epoch or name, and those that train."""
    name = name if isinstance(name, str) else f"epoch_{name}"
    content = torch.load(work / f"{name}.pth", weights_only=False)  # our own file of just now
    trained = {
        key.removeprefix("module."): value
        for key, value in content["ema_state_dict"].items()
        if key != "steps"
    }
    return content["state_dict"], trained


def same(ours: State, theirs: State) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_what_is_frozen_stays_and_the_rest_is_averaged(
    averaged: Training,
) -> None:
    work = averaged[0]
    net = MODELS.build(config(work).model).backbone
    frozen = {f"backbone.{name}" for name, param in net.named_parameters() if not param.requires_grad}
    (first, _), (mean, trained) = saved(work, 1), saved(work, 3)
    assert frozen
    for key, _ in net.named_parameters():
        key = f"backbone.{key}"
        assert torch.equal(mean[key], trained[key]) == (key in frozen), key
        assert torch.equal(mean[key], first[key]) == (key in frozen), key
    layers = {key.rpartition(".")[0] for key in frozen}
    statistics = [key for key in mean if "running" in key and key.rpartition(".")[0] in layers]
    assert statistics
    assert all(torch.equal(mean[key], first[key]) for key in statistics)


def test_validation_sees_the_averaged_weights(averaged: Training) -> None:
    work, seen, _ = averaged
    assert len(seen) == 3
    for epoch, state in enumerate(seen, 1):
        assert same(state, saved(work, epoch)[0])


def test_a_resumed_training_ends_the_same(averaged: Training, tmp_path: Path) -> None:
    work, _, whole = averaged
    _, losses = run(config(tmp_path, load_from=str(work / "epoch_2.pth"), resume=True))
    assert losses == whole[6:]
    for ours, theirs in zip(saved(tmp_path, 3), saved(work, 3), strict=True):
        assert same(ours, theirs)


def test_a_training_that_stops_early_saves_the_average_that_was_evaluated_last(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    cfg.val_evaluator = dict(type=Falling.__name__)
    cfg.train_cfg.max_epochs = 6
    stop = dict(type="mmbackbones.EarlyStopHook", monitor="figure", rule="greater", patience=2)
    cfg.custom_hooks.append(stop)
    seen, losses = run(cfg)
    assert len(losses) == 12  # of four epochs
    mean, trained = saved(tmp_path, 4)
    assert same(mean, seen[-1])
    assert not same(mean, trained)


def test_a_kill_loses_nothing_of_the_average(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    cfg.custom_hooks += [dict(type="mmbackbones.SaveEveryHook", minutes=1e-9), dict(type=Killed.__name__)]
    with pytest.raises(KeyboardInterrupt):
        tiny.train(cfg)
    mean, trained = saved(tmp_path, "interrupted")
    assert not same(mean, trained)
    runner = tiny.Runner.from_cfg(config(tmp_path, load_from=str(tmp_path / "interrupted.pth"), resume=True))
    average = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
    average.before_run(runner)  # as `train` does, before it loads
    runner.load_or_resume()
    assert same(runner.model.state_dict(), trained)
    assert same(average.ema_model.module.state_dict(), mean)


def test_the_checkpoints_weights_are_the_averaged_ones(averaged: Training, tmp_path: Path) -> None:
    """Loaded by ``load_from`` without the hook, and by a backbone alone."""
    work = averaged[0]
    file = str(work / "epoch_3.pth")
    cfg = config(tmp_path, load_from=file)
    cfg.custom_hooks = [dict(type="Recorder")]
    runner = tiny.Runner.from_cfg(cfg)
    runner.load_or_resume()
    assert same(runner.model.state_dict(), saved(work, 3)[0])
    init = dict(type="Pretrained", checkpoint=file, prefix="backbone.")
    net = MODELS.build(dict(type=f"mmbackbones.{tiny.NET}", init_cfg=init))
    net.init_weights()
    assert same(net.state_dict(), runner.model.backbone.state_dict())
