"""Figures by class, and what a training costs."""

from __future__ import annotations

import gc
import platform
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from mmengine.registry import METRICS
from tiny_training import config
from torch import nn
from warm import in_processes

import mmbackbones.registry  # noqa: F401 the scope
from mmbackbones.engine import cost
from mmbackbones.engine.cost import CostHook, PeakMemory, resident
from mmbackbones.engine.report import class_figures, read_history
from mmbackbones.engine.runner import Runner


def test_iou_of_each_class() -> None:
    metric = METRICS.build(dict(type="mmbackbones.IoUMetric", iou_metrics=["mIoU"]))
    metric.dataset_meta = {"classes": ("sky", "road", "tree", "lamp")}
    truth = torch.tensor([[0, 0, 1, 255], [0, 1, 1, 2]])
    guess = torch.tensor([[0, 0, 1, 3], [1, 1, 1, 1]])
    sample = {"pred_sem_seg": {"data": guess[None]}, "gt_sem_seg": {"data": truth[None]}}
    metric.process({}, [sample])
    figures = metric.evaluate(size=1)
    # sky: 2 of 3 pixels; road: 3 of the 5 that are or seem road; tree: missed; lamp: where nothing counts
    by_class = class_figures(figures, ("sky", "road", "tree", "lamp"))
    assert by_class == {"sky": 66.67, "road": 60.0, "tree": 0.0, "lamp": None}
    assert figures["mIoU"] == pytest.approx((66.67 + 60) / 3, abs=0.01)


def test_average_precision_of_each_class() -> None:
    figures = {"coco/bbox_mAP": 0.3, "coco/red cell_precision": 0.6, "coco/a/b_precision": float("nan")}
    assert class_figures(figures, ("red cell", "a/b", "c")) == {"red cell": 0.6, "a/b": None, "c": None}


class Busy(nn.Linear):
    """Keeps the processor busy for so many seconds."""

    def __init__(self) -> None:
        super().__init__(1, 1)

    def forward(self, seconds: float) -> None:
        ends = time.process_time() + seconds
        while time.process_time() < ends:
            sum(range(1000))


def test_costs_are_those_of_one_image_and_of_the_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [1000.0]  # MiB of the process; that of the tests comes and goes with others' garbage
    monkeypatch.setattr(cost, "resident", lambda: held[0])
    hook, runner = CostHook(), SimpleNamespace(network=Busy())
    hook.before_train(runner)
    batch = {"inputs": [0, 0, 0, 0]}
    for seconds in (0.2, 0.04, 0.04):
        hook.before_train_iter(runner, 0, batch)
        runner.network(seconds)
        hook.after_train_iter(runner, 0, batch)
    for held[0] in (1512.5, 1200.0):
        time.sleep(0.3)
    hook.after_train(runner)
    held[0] = 3000.0
    assert 9 < hook.figures["train_ms"] < 20
    assert hook.figures["memory_mib"] == 512.5
    assert "predict_ms" not in hook.figures
    hook.before_val(runner)
    hook.before_val_iter(runner, 0, batch)
    runner.network(0.08)
    Busy()(0.2)  # scoring
    hook.after_val(runner)
    runner.network(0.2)
    assert 19 < hook.figures["predict_ms"] < 35


class Event:
    """CUDA's, of a GPU that is two marks behind; the time between its marks is 80 ms."""

    made: ClassVar[list[Event]] = []

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.waited = False

    def record(self) -> None:
        self.made.append(self)

    def query(self) -> bool:
        return self.waited or len(self.made) - self.made.index(self) > 2

    def synchronize(self) -> None:
        self.waited = self.waited or not self.query()

    def elapsed_time(self, end: Event) -> float:
        assert end.query()
        return 80.0 * (self.made.index(end) - self.made.index(self))


def test_no_step_waits_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise AssertionError("a step waited for the GPU")

    Event.made.clear()
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", refused)
    for name in ("reset_peak_memory_stats", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda: 2**20)
    weight = SimpleNamespace(is_cuda=True)
    hook, runner = CostHook(), SimpleNamespace(network=SimpleNamespace(parameters=lambda: iter([weight])))
    hook.before_train(runner)
    for _ in range(9):
        hook.before_train_iter(runner, 0, {"inputs": [0, 0]})
        hook.after_train_iter(runner, 0, {"inputs": [0, 0]})
    assert not any(event.waited for event in Event.made)
    assert len(hook.pending) == 1  # the others are read: what is kept does not grow
    hook.after_train(runner)
    assert hook.figures == {"train_ms": 40.0, "memory_mib": 1.0}


def hold_100_mib(rank: int, folder: Path) -> None:
    before = resident()
    held = torch.ones(100 * 2**18)
    (folder / "grown.txt").write_text(str(resident() - before))
    assert held.all()


def test_the_memory_of_this_process(tmp_path: Path) -> None:
    in_processes(hold_100_mib, tmp_path, count=1)
    assert 90 < float((tmp_path / "grown.txt").read_text()) < 150


def take_200_mib_twice(rank: int, folder: Path) -> None:
    def take() -> list[bytearray]:
        return [bytearray(2**14) for _ in range(200 * 2**6)]

    held = take()
    end = held.pop()  # it lies behind the others, so that the C library keeps their memory
    del held
    kept = resident()
    memory = PeakMemory(cuda=False)
    kept -= resident()
    held = take()
    memory.stop()
    (folder / "figures.txt").write_text(f"{kept} {memory.so_far()}")
    assert end
    assert held


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to give memory back")
def test_memory_kept_from_before_hides_nothing(tmp_path: Path) -> None:
    in_processes(take_200_mib_twice, tmp_path, count=1)
    kept, peak = map(float, (tmp_path / "figures.txt").read_text().split())
    assert kept > 190
    assert 190 < peak < 260


def test_two_trainings_in_one_process_share_neither_log_nor_memory(tmp_path: Path) -> None:
    models = []
    named = dict(type="Visualizer", name="visualizer", vis_backends=[dict(type="LocalVisBackend")])
    for name in ("first", "second"):
        changes = dict(train_cfg=dict(by_epoch=True, max_epochs=1), custom_hooks=[], visualizer=named)
        runner = Runner.from_cfg(config(tmp_path / name, **changes))
        runner.train()
        models.append(weakref.ref(runner.model))
        del runner
    gc.collect()
    assert [len(read_history(tmp_path / name).losses) for name in ("first", "second")] == [3, 3]
    assert [model() for model in models] == [None, None]
