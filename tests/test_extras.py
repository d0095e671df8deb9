"""Options of a training that become hooks, loaders and logs: what stands in the config, and what it does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_training as tiny
from cli_trainings import main_exits
from fit_cases import DEEPLAB, FASTER
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, METRICS, MODELS
from mmengine.runner import Runner
from torch import nn

from mmbackbones import InputError
from mmbackbones.compose import extras
from mmbackbones.compose.configs import kind, load_config
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.engine.stops import save_to_go_on
from mmbackbones.weights.files import read_checkpoint


@METRICS.register_module()
class Falling(BaseMetric):
    """A figure that is best at the second evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.figures = iter([0.1, 0.5, 0.5, 0.4, 0.9, 0.9])

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        return {"figure": next(self.figures)}


@HOOKS.register_module()
class Killed(Hook):
    """Ends the training in the middle of its second epoch."""

    priority = "LOWEST"

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        if runner.iter == 4:
            raise KeyboardInterrupt


def test_an_early_stop_leaves_the_state_that_was_evaluated_last(tmp_path: Path) -> None:
    hook = dict(
        type="mmbackbones.EarlyStopHook", monitor="figure", rule="greater", min_delta=1e-6, patience=2
    )
    cfg = tiny.config(tmp_path, custom_hooks=[hook, dict(type="Recorder")])
    cfg.train_cfg.max_epochs = 6
    cfg.val_dataloader, cfg.val_cfg = cfg.train_dataloader, dict(type="ValLoop")
    cfg.val_evaluator = dict(type="Falling")
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=6)
    runner, _ = tiny.train(cfg)
    assert runner.epoch == 4  # an equal figure is not a better one
    assert runner.stopped_early == "figure has not risen in 2 evaluations"
    assert read_checkpoint(tmp_path / "epoch_4.pth")["meta"]["epoch"] == 4
    assert runner.message_hub.get_info("last_ckpt") == str(tmp_path / "epoch_4.pth")
    cfg.test_dataloader, cfg.test_evaluator, cfg.test_cfg = cfg.val_dataloader, dict(type="Falling"), {}
    cfg.experiment_name += "_test"
    assert Runner.from_cfg(cfg).test() == {"figure": 0.1}  # the hook is in the way of no test


def test_a_kill_costs_minutes(tmp_path: Path) -> None:
    """Saving changes nothing of the training; what is saved goes on at the epoch's start with its weights."""
    losses = {}
    for name, minutes in (("often", 1e-9), ("never", 1e9)):
        every = dict(type="mmbackbones.SaveEveryHook", minutes=minutes)
        cfg = tiny.config(tmp_path / name, custom_hooks=[every, dict(type="Recorder")])
        cfg.train_cfg.max_epochs = 2
        losses[name] = tiny.train(cfg)[1].losses
    assert losses["often"] == losses["never"]
    assert not (tmp_path / "never" / "interrupted.pth").exists()
    every = dict(type="mmbackbones.SaveEveryHook", minutes=1e-9)
    cfg = tiny.config(tmp_path / "killed", custom_hooks=[every, dict(type="Recorder"), dict(type="Killed")])
    with pytest.raises(KeyboardInterrupt):
        tiny.train(cfg)
    saved = tmp_path / "killed" / "interrupted.pth"
    assert (tmp_path / "killed" / "last_checkpoint").read_text() == str(saved)
    assert (read_checkpoint(saved)["meta"]["epoch"], read_checkpoint(saved)["meta"]["iter"]) == (1, 3)
    cfg = tiny.config(tmp_path / "killed", custom_hooks=[dict(type="Recorder")])
    cfg.train_cfg.max_epochs, cfg.load_from, cfg.resume = 2, str(saved), True
    runner, seen = tiny.train(cfg)
    assert runner.iter == 6
    assert len(seen.losses) == 3
    assert seen.losses[0] != losses["never"][3]  # with the weights of two steps later


def test_all_together_in_one_config(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: name)
    cfg = load_config(FASTER)
    settings = Settings(
        *(shapes, 1),
        **dict(early_stop=3, ema=True, workers=0, deterministic=True, save_every=2.5),
        log=extras.parse_logs("tensorboard, mlflow"),
    )
    notes = fit(cfg, settings, cache_dir=tmp_path)
    hooks = {kind(hook): hook for hook in cfg.custom_hooks}
    assert hooks["EarlyStopHook"].monitor == "coco/bbox_mAP"
    assert hooks["EarlyStopHook"].patience == 3
    assert hooks["SaveEveryHook"].minutes == 2.5
    assert "EMAHook" in hooks
    assert cfg.val_dataloader.num_workers == 0
    assert not cfg.val_dataloader.persistent_workers
    assert cfg.randomness == dict(seed=0, deterministic=True)
    kinds = {kind(backend) for backend in cfg.visualizer.vis_backends}
    assert kinds == {"LocalVisBackend", "TensorboardVisBackend", "MLflowVisBackend"}
    assert len([note for note in notes if "seed 0" in note or "moving average" in note]) == 2
    fit(cfg, settings, cache_dir=tmp_path)  # what a resolved config is trained with again
    assert len(cfg.custom_hooks) == 3


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"early_stop": 0}, "--early-stop 0"),
        ({"save_every": 0.0}, "--save-every 0: minutes must be above 0"),
        ({"workers": -1}, "--workers -1"),
    ],
)
def test_bad_values(option: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        fit(load_config(DEEPLAB), Settings(**option), cache_dir=tmp_path)


def test_bad_words_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, says in (
        (["--log", "tensorbord"], "--log tensorbord is unknown. Did you mean 'tensorboard'?"),
        (["--log", ","], "--log ',' names nothing"),
        (["--classes", ","], "--classes ',' names no class"),
    ):
        main_exits("train", FASTER, "--work-dir", tmp_path / "work", *words, code=2)
        assert says in capsys.readouterr().err
    main_exits("test", FASTER, "x.pth", "--split", "dev", "--work-dir", tmp_path / "t", code=2)
    assert "--split 'dev' is unknown; use val or test" in capsys.readouterr().err
    own = "--split test: the config tests on its validation images (annotations/instances_val2017.json)"
    main_exits("test", FASTER, "x.pth", "--split", "test", "--work-dir", tmp_path / "t", code=2)
    assert own in capsys.readouterr().err
    main_exits("predict", FASTER, "x.pth", "--split", "test", "--out", tmp_path / "p", code=2)
    assert own in capsys.readouterr().err
    main_exits("predict", FASTER, "x.pth", "a.png", "--split", "val", code=2)
    assert "one of both" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="--log wandb needs the package wandb: `pip install wandb`"):
        extras.parse_logs("wandb")


def test_a_kill_while_it_is_written_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    def killed(folder: str, name: str, meta: dict[str, int]) -> None:
        Path(folder, name).write_bytes(b"half")
        raise KeyboardInterrupt

    def written(folder: str, name: str, meta: dict[str, int]) -> None:
        Path(folder, name).write_bytes(b"next")

    before = tmp_path / "interrupted.pth"
    before.write_bytes(b"whole")
    with pytest.raises(KeyboardInterrupt):
        save_to_go_on(SimpleNamespace(work_dir=tmp_path, rank=0, save_checkpoint=killed), 0, 7)
    assert before.read_bytes() == b"whole"
    save_to_go_on(SimpleNamespace(work_dir=tmp_path, rank=0, save_checkpoint=written), 0, 9)
    assert before.read_bytes() == b"next"
    assert (tmp_path / "last_checkpoint").read_text() == str(before)


@pytest.mark.parametrize("config", [FASTER, DEEPLAB])
def test_the_average_of_each_task_is_there(config: str) -> None:
    cfg = load_config(config)
    extras.average_weights(cfg)
    (hook,) = (hook for hook in cfg.custom_hooks if kind(hook) == "EMAHook")
    with MODELS.switch_scope_and_registry(cfg.default_scope) as registry:
        average = registry.build(dict(type=hook.ema_type, model=nn.Linear(2, 2), momentum=hook.momentum))
    average.update_parameters(nn.Linear(2, 2))
    assert int(average.steps) == 1
