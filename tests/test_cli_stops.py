"""Trainings that are stopped, by Ctrl-C, SIGTERM and in several processes, and go on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cases import swept
from cli_trainings import DETECTOR, IMAGES, SEGMENTER, SMALL
from warm import Command

from mmbackbones.cli.together import free_port
from mmbackbones.compose.configs import load_config
from mmbackbones.weights.files import read_checkpoint

#: For the fixture ``shapes``.
SHAPES = IMAGES


def stop(command: Command, signum: int, code: int) -> str:
    """Signal the process and its loader workers, as a terminal and a cluster do; returns the output."""
    os.killpg(command.process.pid, signum)
    output = command.end(code)
    assert "Traceback" not in output
    return output


@pytest.mark.parametrize(
    ("config", "signum", "code", "more"),
    [(DETECTOR, signal.SIGTERM, 143, ["--amp"]), (SEGMENTER, signal.SIGINT, 130, [])],
)
def test_a_stop_leaves_a_checkpoint_to_resume_from(
    config: str, signum: int, code: int, more: list[str], shapes: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    words: list[object] = ["train", config, "--data", shapes, "--work-dir", work, *SMALL, *more]
    words += ["--epochs", 500, "--cfg-options", "train_cfg.val_interval=10000"]
    words += ["train_dataloader.num_workers=1"]
    command = Command(words, tmp_path / "first.txt")
    wait_for(lambda: '"loss"' in scalars(work), command)
    output = stop(command, signum, code)
    assert f"mmbackbones train {work}/config.py --work-dir {work} --resume" in output
    checkpoint = read_checkpoint(work / "interrupted.pth")
    assert (work / "last_checkpoint").read_text() == str(work / "interrupted.pth")
    done = checkpoint["meta"]["iter"]

    words = ["train", work / "config.py", "--work-dir", work, "--resume", "--device", "cpu"]
    logged = last_step(work)  # of an epoch that was not ended, and begins again
    command = Command(words, tmp_path / "second.txt")
    wait_for(lambda: last_step(work) > max(done, logged), command)
    stop(command, signum, code)
    resumed = read_checkpoint(work / "interrupted.pth")
    assert resumed["meta"]["iter"] > done
    log = "".join(path.read_text() for path in work.glob("*/*.log"))
    assert f"resumed epoch: {checkpoint['meta']['epoch']}, iter: {done}" in log


def scalars(work: Path) -> str:
    return "".join(path.read_text() for path in sorted(work.glob("*/vis_data/scalars.json")))


def last_step(work: Path) -> int:
    lines = [line for line in scalars(work).splitlines() if line.endswith("}")]
    return max((json.loads(line)["step"] for line in lines), default=0)


def wait_for(condition: Callable[[], bool], command: Command, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if not command.process.is_alive() or time.monotonic() > end:
            command.kill()
            pytest.fail(command.output)
        time.sleep(0.1)


# -- several processes ----------------------------------------------------------------------------


def two_processes(words: list[object], folder: Path) -> list[Command]:
    """Both of a training, with the variables that torchrun gives."""
    group = dict(WORLD_SIZE=2, MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port())
    words = [*words, "--launcher", "pytorch"]
    return [Command(words, folder / f"{rank}.txt", RANK=rank, LOCAL_RANK=rank, **group) for rank in range(2)]


def test_two_processes_train(shapes: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    words = ["train", DETECTOR, "--data", shapes, "--work-dir", work, *SMALL, "--epochs", "1"]
    output = "".join(command.end(0) for command in two_processes(words, tmp_path))
    assert "2 processes" in output
    assert re.search(r"learning rate \S+ of the config, batch 8\b", output)  # 2 x 4 images
    assert output.count("predictions.png") == 1
    history = json.loads((work / "metrics.json").read_text())["history"]
    assert [row["epoch"] for row in history] == [1]
    assert load_config(str(work / "config.py")).train_cfg.max_epochs == 1


def test_two_processes_that_are_stopped_go_on_as_two(shapes: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    words: list[object] = ["train", DETECTOR, "--data", shapes, "--work-dir", work, *SMALL, "--epochs", 500]
    words += ["--cfg-options", "train_cfg.val_interval=10000"]
    both = two_processes(words, tmp_path)
    wait_for(lambda: '"loss"' in scalars(work), both[0])
    for command in both:
        os.killpg(command.process.pid, signal.SIGTERM)
    output = "".join(command.end(143) for command in both)
    assert output.count(f"mmbackbones train {work}/config.py --work-dir {work} --resume --processes 2") == 1


@swept("torchrun and two cold processes take half a minute")
def test_torchrun_that_is_stopped_leaves_a_checkpoint(shapes: Path, tmp_path: Path) -> None:
    """SIGTERM goes to torchrun alone, as `docker stop` sends it; torchrun passes it on."""
    work = tmp_path / "work"
    words = ["train", DETECTOR, "--data", shapes, "--work-dir", work, *SMALL, "--epochs", 500]
    words += ["--launcher", "pytorch", "--cfg-options", "train_cfg.val_interval=10000"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*launch, "-m", "mmbackbones.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
    )
    end = time.monotonic() + 300
    while '"loss"' not in scalars(work) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    process.terminate()
    output = process.communicate(timeout=300)[0]
    assert process.returncode != 0
    assert "2 processes" in output
    assert f"--work-dir {work} --resume --processes 2" in output
    assert (work / "last_checkpoint").read_text() == str(work / "interrupted.pth")
    assert read_checkpoint(work / "interrupted.pth")["meta"]["iter"] > 0
