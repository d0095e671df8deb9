"""What a training shows, and how it stops."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.logging import MessageHub
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from rich.console import Console
from tiny_training import config

from mmbackbones.engine.hooks import ProgressHook
from mmbackbones.engine.own_process import cores
from mmbackbones.engine.report import main_figures
from mmbackbones.engine.runner import Runner
from mmbackbones.engine.stops import StopHook
from mmbackbones.registry import HOOKS


def fake_runner(loop: type = EpochBasedTrainLoop) -> Any:
    hub = MessageHub("progress")
    for value in (2.0, 1.0):
        hub.update_scalar("train/loss", value)
    hub.update_scalar("train/lr", 0.02)
    common = dict(message_hub=hub, rank=0, world_size=1, iter=0, max_iters=10, epoch=1, max_epochs=5)
    return SimpleNamespace(**common, train_loop=object.__new__(loop), val_dataloader=range(4))


def shown(terminal: bool, loop: type = EpochBasedTrainLoop, seconds: float = 0.0) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=150, color_system=None)
    hook, runner = ProgressHook(console, seconds), fake_runner(loop)
    hook.before_train(runner)
    for runner.iter in range(10):
        hook.after_train_iter(runner, runner.iter % 2)
    for index in range(4):
        hook.after_val_iter(runner, index)
    hook.after_val_epoch(runner, metrics={"coco/bbox_mAP_50": 0.5, "coco/bbox_mAP": 0.25})
    hook.after_train(runner)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_hooks_are_registered_for_configs() -> None:
    assert HOOKS.get("ProgressHook") is ProgressHook
    assert HOOKS.get("StopHook") is StopHook


def test_plain_lines_without_a_terminal() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[0].startswith("train 1/10  epoch 2/5  loss 1.500  lr 0.02  0:00:")
    assert lines[0].endswith("left")
    assert sum(line.startswith("train") for line in lines) == 10
    assert "evaluate 4/4" in lines
    assert lines[-1] == "epoch 1/5: bbox_mAP 0.250  bbox_mAP_50 0.500"
    assert "\x1b" not in "".join(lines)


def test_plain_lines_come_now_and_then() -> None:
    lines = shown(terminal=False, seconds=1000).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["train 10/10", "epoch 1/5: bbox_mAP 0.250"]


def test_a_live_bar_in_a_terminal() -> None:
    output = shown(terminal=True)
    assert "\x1b[" in output  # the cursor goes back over the bar
    assert "10/10" in output
    assert "epoch 2/5  loss 1.500  lr 0.02" in output
    assert "epoch 1/5: bbox_mAP 0.250" in output


def test_iterations_are_named_where_there_are_no_epochs() -> None:
    assert "iteration 9: bbox_mAP 0.250" in shown(terminal=False, loop=IterBasedTrainLoop)


def test_main_figures_come_first_and_without_prefix() -> None:
    figures = main_figures(
        {"time": 1.0, "coco/bbox_mAP_s": 0.1, "coco/bbox_mAP_50": 0.5, "coco/bbox_mAP": 0.3}
    )
    assert list(figures.items()) == [("bbox_mAP", 0.3), ("bbox_mAP_50", 0.5)]
    assert main_figures({"my/score": 3.0}) == {"score": 3.0}


@pytest.mark.parametrize("first", StopHook.signals)
def test_a_signal_waits_and_then_ctrl_c_stops_at_once(first: int) -> None:
    before, hook = [signal.getsignal(number) for number in StopHook.signals], StopHook()
    hook.before_train(fake_runner())
    try:
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), signal.SIGTERM)  # sent by torchrun too
        assert (hook.asked, hook.signum) == (True, first)  # the first one waits for the iteration's end
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        hook.release()
    assert [signal.getsignal(number) for number in StopHook.signals] == before


def test_runs_of_one_second_share_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the two evaluations of an export: the first one's folder may be gone when the second begins."""
    monkeypatch.setattr("mmengine.runner.runner.time.time", lambda: 1.7e9)
    first, second = (
        Runner.from_cfg(config(tmp_path / scope, experiment_name="same", default_scope=scope))
        for scope in ("mmdet", "mmseg")
    )
    assert [run.default_scope.scope_name for run in (first, second)] == ["mmdet", "mmseg"]
    assert first.timestamp == second.timestamp
    assert first.visualizer is not second.visualizer
    assert first.message_hub is not second.message_hub
    assert first.logger is not second.logger
    assert list((tmp_path / "mmseg").rglob("vis_data/config.py"))


def test_more_workers_than_cores_are_said(tmp_path: Path) -> None:
    def shown_with(workers: int) -> str:
        cfg = config(tmp_path / str(workers), **{"train_cfg.max_epochs": 1, "custom_hooks": []})
        cfg.train_dataloader.num_workers = workers
        runner, console = Runner.from_cfg(cfg), Console(record=True, width=200, file=io.StringIO())
        runner.register_hook(ProgressHook(console))
        runner.train()
        return console.export_text()

    many = cores() + 1
    said = (
        f"{many} processes load the data, and {cores()} cores are here: --workers {cores()} takes less memory"
    )
    assert said in shown_with(many)
    assert "processes load the data" not in shown_with(0)
