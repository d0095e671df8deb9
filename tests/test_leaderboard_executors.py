"""Runs on GPUs of their own, in Ray's tasks and in Slurm's jobs: the records are those of local processes."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import leaderboard_fake as fake
import pytest
import torch
from cases import swept

from mmbackbones.errors import InputError
from mmbackbones.leaderboard import executors
from mmbackbones.leaderboard.executors import RayExecutor, SlurmExecutor, choose_executor
from mmbackbones.leaderboard.jobs import Executor, LocalExecutor
from mmbackbones.leaderboard.loop import run_board
from mmbackbones.leaderboard.plan import Board, Run
from mmbackbones.leaderboard.records import read_records, without_times

#: Three epochs, each of which leaves a line, in the folder of the run; goes on where it was killed.
WORKER = """
import argparse, os, sys, time
from pathlib import Path
from mmbackbones.leaderboard.jobs import Outcome, write_outcome
from mmbackbones.leaderboard.lock import hold
from mmbackbones.leaderboard.orphans import die_with
parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("--parent", type=int)
parser.add_argument("--until", type=int)
parser.add_argument("--seconds", type=float, default=0)
asked = parser.parse_args()
die_with(asked.parent)
with hold(asked.folder, 60):
    lines = asked.folder / "steps.txt"
    done = len(lines.read_text().splitlines()) if lines.is_file() else 0
    for epoch in range(done + 1, (asked.until or 3) + 1):
        time.sleep(asked.seconds)
        with lines.open("a") as file:
            file.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\\n")
    done = asked.until or 3
    figure = lambda epoch: sum(map(ord, asked.folder.name)) * 7919 % (997 + epoch) / 1000
    history = [{"epoch": epoch, "mIoU": figure(epoch)} for epoch in range(1, done + 1)]
    facts = {"metric": figure(done), "history": history, "seconds": 1.0}
    write_outcome(asked.folder, Outcome(facts=facts, until=asked.until))
"""
BOARD = replace(fake.board(("alpha", "beta"), ("sgd",), (0, 1)), rungs=(1,))


def local(seconds: float = 0.0, **changes: Any) -> LocalExecutor:
    return LocalExecutor(("--seconds", str(seconds)), command=(sys.executable, "-c", WORKER), **changes)


def play(folder: Path, executor: Executor, board: Board = BOARD) -> dict[str, Mapping[str, Any]]:
    run_board(board, folder, executor, fake.describe, pause=0.01)
    return {key: without_times(record) for key, record in read_records(folder).items()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Mapping[str, Any]]:
    found = play(tmp_path_factory.mktemp("local"), local())
    assert sorted(record["state"] for record in found.values()) == ["ok", "ok", "paused"]
    return found


def test_each_run_has_a_gpu_of_its_own(expected, tmp_path: Path) -> None:
    executor = local(0.05, gpus=("4", "7"))
    assert executor.slots == 2
    assert play(tmp_path, executor) == expected
    of_run = {path.parent.name: path.read_text().split()[1::2] for path in tmp_path.glob("runs/*/steps.txt")}
    assert {of_run["alpha-sgd-0"][0], of_run["beta-sgd-0"][0]} == {"4", "7"}  # at the same time
    assert {gpu for used in of_run.values() for gpu in used} == {"4", "7"}


@pytest.mark.parametrize(
    "cluster",
    ["debug", pytest.param("local", marks=swept("ten processes"))],
)
def test_jobs_of_submitit_leave_the_same_records(cluster: str, expected, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    executor = SlurmExecutor(local(), tmp_path / "slurm", cluster=cluster)
    assert executor.slots == 100
    assert play(tmp_path, executor) == expected
    assert bool(list((tmp_path / "slurm").glob("*_submitted.pkl"))) == (cluster == "local")


@swept("five processes one after the other")
def test_a_stopped_job_of_submitit_ends(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    job = SlurmExecutor(local(60.0), tmp_path / "slurm", cluster="local").start(
        BOARD.run("beta", "sgd", 0), tmp_path
    )
    assert job.poll() is None
    job.stop()
    assert job.poll().cause == "signal"


def test_a_preempted_job_of_submitit_goes_on(tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    task = executors.SlurmTask(local(), BOARD.run("alpha", "sgd", 1), tmp_path)
    again = task.checkpoint()
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    (tmp_path / "steps.txt").write_text("1 before\n")
    assert pickle.loads(pickle.dumps(again.function))().facts["history"][-1]["epoch"] == 3
    assert len((tmp_path / "steps.txt").read_text().splitlines()) == 3  # two more epochs


def test_submitit_leaves_the_log_files_of_others_open(tmp_path: Path) -> None:
    """As mmengine's: after a board, its ``init_weights`` writes to the file of the training before."""
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    code = f"""
import logging, os
from pathlib import Path
from mmbackbones.leaderboard.executors import SlurmTask
from mmbackbones.leaderboard.jobs import LocalExecutor
from mmbackbones.leaderboard.plan import Run
handler = logging.FileHandler(r"{tmp_path / "log.txt"}", "w")
SlurmTask(LocalExecutor(), Run("a", "b", "c", 0), Path(r"{tmp_path}")).checkpoint()
handler.stream.write("still open")
print(os.environ.get("SUBMITIT_LOG_LEVEL"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "None"


def test_a_folder_that_is_not_shared_is_named(tmp_path: Path) -> None:
    outcome = executors.run_here(local(), BOARD.run("alpha", "sgd", 0), tmp_path / "far")
    assert outcome.cause == "config"
    assert "take a --work-dir that all machines see" in outcome.message


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("dask", {}, "--executor 'dask' is unknown; use one of local, ray, slurm"),
        ("local", {"address": "auto"}, "--address is for --executor ray; it is local"),
        ("ray", {"slurm": ["partition=gpu"]}, "--slurm is for --executor slurm; it is ray"),
        ("slurm", {"slurm": ["gpu"]}, "--slurm 'gpu': write KEY=VALUE"),
        ("local", {"gpus": 99}, r"--gpus 99: torch sees \d+ CUDA devices"),
    ],
)
def test_a_wrong_executor_is_told(name: str, options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        choose_executor(LocalExecutor(), name, folder=tmp_path, **options)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmbackbones.errors.find_spec", lambda name: None)
    for name, package in (("ray", "ray"), ("slurm", "submitit")):
        said = rf"{package} not installed: pip install 'mmbackbones\[{name}\]'"
        with pytest.raises(InputError, match=said):
            choose_executor(LocalExecutor(), name, folder=tmp_path)


def test_gpus_are_the_first_that_are_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    for visible, names in (("2,5,6", ("2", "5")), (None, ("0", "1"))):
        if visible:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        else:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        assert choose_executor(LocalExecutor(), folder=tmp_path, gpus=2).gpus == names
    shared = choose_executor(LocalExecutor(), folder=tmp_path, gpus=2, per_gpu=2)
    assert (shared.gpus, shared.slots) == (("0", "1", "0", "1"), 4)


@swept("Ray takes ten seconds to start its nodes")
def test_a_node_of_ray_that_is_killed_loses_no_run(expected, tmp_path: Path) -> None:
    """Two nodes on this machine, one run on each; that of the killed one goes on where the other is."""
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    try:
        executor = RayExecutor(local(1.0), cluster.address)
        cluster.wait_for_nodes()
        assert executor.slots == 2
        killed: list[float] = []

        def poll_then_kill(run: Run, folder: Path) -> Any:
            job = start(run, folder)
            return _Killing(job, lambda: kill(folder))

        def kill(folder: Path) -> None:
            steps = sorted(tmp_path.glob("runs/*-1/steps.txt"))  # both last runs are under way
            if len(steps) == 2 and not killed:
                killed.append(time.monotonic())
                cluster.remove_node(second, allow_graceful=False)

        start = executor.start
        executor.start = poll_then_kill  # type: ignore[method-assign]
        board = replace(BOARD, rungs=())
        undisturbed = play(tmp_path / "local", local(), board)
        assert play(tmp_path, executor, board) == undisturbed
        assert killed
        pids = {
            path.parent.name: {line.split()[0] for line in path.read_text().splitlines()}
            for path in tmp_path.glob("runs/*/steps.txt")
        }
        assert sorted(map(len, pids.values())) == [1, 1, 1, 2]  # one run had a second process
        assert all(len(path.read_text().splitlines()) == 3 for path in tmp_path.glob("runs/*/steps.txt"))
    finally:
        ray.shutdown()
        cluster.shutdown()


class _Killing:
    def __init__(self, job: Any, look: Callable[[], None]) -> None:
        self.job, self.look = job, look

    def poll(self) -> Any:
        self.look()
        return self.job.poll()

    def stop(self) -> None:
        self.job.stop()
