"""Runs in processes of their own: every way to fail becomes a cause, and no process outlives its board."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from mmbackbones.engine.failures import LossError
from mmbackbones.errors import InputError
from mmbackbones.leaderboard.jobs import LocalExecutor, Outcome, write_outcome
from mmbackbones.leaderboard.loop import run_board
from mmbackbones.leaderboard.plan import Board, Run
from mmbackbones.leaderboard.records import CAUSES, Record, read_records
from mmbackbones.leaderboard.worker import WeightsError, cause_of

BOARD = Board(("net",), ("sgd",), (0,), {("net", "sgd", 0): "k"})
HEAD = """
import os, signal, sys, time
from pathlib import Path
from mmbackbones.leaderboard.jobs import Outcome, write_outcome
folder, parent = Path(sys.argv[1]), int(sys.argv[3])
print("it began")
"""
FAILING = {
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "oom", "SIGKILL"),
    "crash": ("os.kill(os.getpid(), signal.SIGSEGV)", "signal", "ended by SIGSEGV"),
    "stopped": ("sys.exit(143)", "signal", "asked to stop by SIGTERM"),
    "silent": ("sys.exit(3)", "error", "status 3"),
    "raises": ("raise RuntimeError('a bad layer')", "error", "status 1"),
    "says": (
        "write_outcome(folder, Outcome('nan', 'the loss is nan')); sys.exit(1)",
        "nan",
        "the loss is nan",
    ),
    "late": ("time.sleep(60)", "timeout", "longer than 0.01 minutes"),
}


def describe(run: Run) -> Record:
    return Record(run.key, "spec", "data", run.backbone, run.trial, run.seed, "failed")


def run_once(folder: Path, code: str, minutes: float | None = None) -> Record:
    executor = LocalExecutor(minutes=minutes, command=(sys.executable, "-c", HEAD + code))
    run_board(BOARD, folder, executor, describe, pause=0.01)
    return read_records(folder)["k"]


@pytest.mark.parametrize("way", FAILING)
def test_each_failure_is_a_record(way: str, tmp_path: Path) -> None:
    code, cause, said = FAILING[way]
    record = run_once(tmp_path, code, 0.01 if way == "late" else None)
    assert (record.state, record.cause, record.metric) == ("failed", cause, None)
    assert said in record.message
    assert record.next_step == CAUSES[cause]
    if way == "raises":
        assert record.log_tail.startswith("it began")
        assert record.log_tail.endswith("RuntimeError: a bad layer")


def test_a_run_that_ended_unrecorded_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "runs" / "k").mkdir(parents=True)
    write_outcome(tmp_path / "runs" / "k", Outcome(facts={"metric": 0.5}))
    assert run_once(tmp_path, "raise SystemExit(7)").metric == 0.5
    assert not (tmp_path / "runs" / "k" / "log.txt").exists()


def test_an_old_failure_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "runs" / "k").mkdir(parents=True)
    write_outcome(tmp_path / "runs" / "k", Outcome("oom", "an attempt before"))
    assert run_once(tmp_path, "write_outcome(folder, Outcome(facts={'metric': 0.25}))").state == "ok"


def test_a_full_disk_is_no_fault_of_the_net(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written: no space.*no run that has ended is repeated"):
        run_once(tmp_path, "write_outcome(folder, Outcome('disk', 'no space')); sys.exit(1)")
    assert read_records(tmp_path) == {}
    assert run_once(tmp_path, "write_outcome(folder, Outcome(facts={'metric': 0.25}))").state == "ok"


WORKER = """
from mmbackbones.leaderboard.orphans import die_with
die_with(parent)
child = os.fork()
(folder / f"{os.getpid()}.pid").touch()
time.sleep(60)
"""
STARTER = """
import sys, time
from pathlib import Path
from mmbackbones.leaderboard.jobs import LocalExecutor
from mmbackbones.leaderboard.plan import Run
folder = Path(sys.argv[1])
job = LocalExecutor(command=(sys.executable, "-c", sys.argv[2])).start(Run("k", "net", "sgd", 0), folder)
time.sleep(60)
"""


def pids(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("*.pid")]


def wait_for(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_killing_the_board_leaves_no_orphan(tmp_path: Path) -> None:
    """Neither the worker nor what it forked, though each is asleep in a group of its own."""
    board = subprocess.Popen([sys.executable, "-c", STARTER, tmp_path, HEAD + WORKER])
    try:
        assert wait_for(lambda: len(pids(tmp_path)) == 2, 30)
        assert all(psutil.pid_exists(pid) for pid in pids(tmp_path))
    finally:
        board.kill()
        board.wait()
    assert wait_for(lambda: not any(running(pid) for pid in pids(tmp_path)), 5)


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_stopped_job_takes_its_children_along(tmp_path: Path) -> None:
    executor = LocalExecutor(command=(sys.executable, "-c", HEAD + WORKER))
    job = executor.start(Run("k", "net", "sgd", 0), tmp_path)
    assert wait_for(lambda: len(pids(tmp_path)) == 2, 30)
    job.stop()
    assert wait_for(lambda: not any(running(pid) for pid in pids(tmp_path)), 5)
    assert job.poll() == Outcome("signal", "It was ended by SIGTERM.")


def test_a_worker_whose_board_has_died_already_ends_at_once() -> None:
    code = f"from mmbackbones.leaderboard.orphans import die_with\ndie_with({os.getpid() + 1})"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 128 + 9


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "oom"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."), "oom"),
        (getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)("CUDA out of memory."), "oom"),
        (LossError("the loss is nan"), "nan"),
        (WeightsError("out of reach"), "weights"),
        (raised(InputError("cannot write"), OSError(errno.ENOSPC, "full")), "disk"),
        (InputError("num_classes"), "config"),
        (KeyError("x"), "error"),
    ],
)
def test_causes_of_exceptions(error: BaseException, cause: str) -> None:
    assert cause_of(raised(error, error.__cause__)) == cause
