"""What two processes of a training tell each other: one reads the data first, and all stop together."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.runner import IterBasedTrainLoop
from torch import distributed
from warm import in_processes

from mmbackbones.compose.configs import load_config
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.data import layouts
from mmbackbones.data.shapes import write_shapes
from mmbackbones.engine.stops import StopHook, Stopped

DETECTOR = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
PATIENCE = timedelta(seconds=3)  # of the processes' own group, as ten minutes are NCCL's
READING = 2 * PATIENCE.total_seconds()
ASKED_AT = 3


def meet(rank: int, folder: Path) -> None:
    """Make the group when both are there, as its patience is short."""
    store = distributed.FileStore(str(folder / "meet"), 2)
    store.set(f"ready{rank}", "")
    store.wait(["ready0", "ready1"], timedelta(minutes=5))
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=PATIENCE)


def read_slowly(rank: int, recognise: Callable[..., Any]) -> Callable[..., Any]:
    def slow(*args: Any, **kwargs: Any) -> Any:
        if rank == 0:
            time.sleep(READING)
        return recognise(*args, **kwargs)

    return slow


def stopped_after(rank: int, folder: Path) -> int:
    """The iteration after which a process stops, of which the second alone is asked to."""
    hook = StopHook()
    runner = SimpleNamespace(
        train_loop=object.__new__(IterBasedTrainLoop), world_size=2, rank=rank, epoch=0, work_dir=str(folder)
    )
    runner.save_checkpoint = lambda into, name, **kwargs: rank == 0 and Path(into, name).touch()

    def train() -> None:
        for runner.iter in range(2 * ASKED_AT):
            if rank == 1 and runner.iter == ASKED_AT:
                hook.signum = signal.SIGTERM
            hook.after_train_iter(runner, runner.iter)

    with pytest.raises(Stopped) as stopped:
        train()
    assert stopped.value.signum == signal.SIGTERM
    return int(runner.iter)


def process(rank: int, folder: Path, data: Path) -> None:
    meet(rank, folder)
    layouts.recognise = read_slowly(rank, layouts.recognise)
    notes = fit(load_config(DETECTOR), Settings(data), cache_dir=folder / "cache", world_size=2)

    reduce = distributed.all_reduce

    def beside_the_gpu(tensor: torch.Tensor, op: Any, group: Any = None, async_op: bool = False) -> Any:
        assert group not in (None, distributed.group.WORLD), "NCCL's, which would wait for the GPU"
        assert async_op
        return reduce(tensor, op, group, async_op)

    distributed.all_reduce = beside_the_gpu
    torch.save({"notes": notes, "iter": stopped_after(rank, folder)}, folder / f"{rank}.pth")
    distributed.destroy_process_group()


def test_the_others_outlast_a_long_reading_and_all_stop_after_one_iteration(tmp_path: Path) -> None:
    shapes = write_shapes(tmp_path / "shapes", train=4, val=2, size=(64, 64))
    in_processes(process, tmp_path, shapes)
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    assert first == second
    assert first["iter"] == ASKED_AT + 1
