"""Trainings that are stopped, by Ctrl-C, SIGTERM and in several processes, and go on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_trainings import DETECTOR, IMAGES, SEGMENTER, SMALL

from mmbackbones.compose.configs import load_config
from mmbackbones.weights.files import read_checkpoint

#: For the fixture ``shapes``.
SHAPES = IMAGES


def start(words: list[object], *launch: str) -> subprocess.Popen[str]:
    command = [sys.executable, *launch, "-m", "mmbackbones.cli", *map(str, words)]
    env = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[str], signum: int, code: int) -> str:
    """Signal the process and its loader workers, as a terminal and a cluster do; returns the output."""
    os.killpg(process.pid, signum)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == code, output
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
    process = start(words)
    wait_for(lambda: '"loss"' in scalars(work), process)
    output = stop(process, signum, code)
    assert f"mmbackbones train {work}/config.py --work-dir {work} --resume" in output
    checkpoint = read_checkpoint(work / "interrupted.pth")
    assert (work / "last_checkpoint").read_text() == str(work / "interrupted.pth")
    done = checkpoint["meta"]["iter"]

    process = start(["train", work / "config.py", "--work-dir", work, "--resume", "--device", "cpu"])
    wait_for(lambda: last_step(work) > done, process)
    stop(process, signum, code)
    resumed = read_checkpoint(work / "interrupted.pth")
    assert resumed["meta"]["iter"] > done
    log = "".join(path.read_text() for path in work.glob("*/*.log"))
    assert f"resumed epoch: {checkpoint['meta']['epoch']}, iter: {done}" in log


def scalars(work: Path) -> str:
    return "".join(path.read_text() for path in sorted(work.glob("*/vis_data/scalars.json")))


def last_step(work: Path) -> int:
    lines = [line for line in scalars(work).splitlines() if line.endswith("}")]
    return max((json.loads(line)["step"] for line in lines), default=0)


def wait_for(condition: object, process: subprocess.Popen[str], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(process.communicate()[0])
        time.sleep(0.1)


# -- several processes ----------------------------------------------------------------------------


def test_torchrun_trains_with_two_processes(shapes: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "mmbackbones.cli", "train", DETECTOR, "--data", str(shapes), "--work-dir", str(work)]
    command += [*SMALL, "--epochs", "1", "--launcher", "pytorch"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 processes" in done.stdout
    assert re.search(r"learning rate \S+ of the config, batch 8\b", done.stdout)  # 2 x 4 images
    assert done.stdout.count("predictions.png") == 1
    history = json.loads((work / "metrics.json").read_text())["history"]
    assert [row["epoch"] for row in history] == [1]
    assert load_config(str(work / "config.py")).train_cfg.max_epochs == 1


def test_torchrun_that_is_stopped_leaves_a_checkpoint(shapes: Path, tmp_path: Path) -> None:
    """SIGTERM goes to torchrun alone, as `docker stop` sends it; torchrun passes it on."""
    work = tmp_path / "work"
    words = ["train", DETECTOR, "--data", shapes, "--work-dir", work, *SMALL, "--epochs", 500]
    words += ["--launcher", "pytorch", "--cfg-options", "train_cfg.val_interval=10000"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = start(words, *launch)
    wait_for(lambda: '"loss"' in scalars(work), process)
    process.terminate()
    output = process.communicate(timeout=300)[0]
    assert process.returncode != 0
    assert f"--work-dir {work} --resume" in output
    assert (work / "last_checkpoint").read_text() == str(work / "interrupted.pth")
    assert read_checkpoint(work / "interrupted.pth")["meta"]["iter"] > 0
