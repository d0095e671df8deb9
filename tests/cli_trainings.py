"""Trainings by the command that the tests of the command line share, and how they call it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from warm import Command

from mmbackbones.cli import main
from mmbackbones.data.shapes import write_shapes

DETECTOR = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
SEGMENTER = "segmentation/deeplabv3plus_resnet18-scratch-d16_1xb8-8k_cityscapes-360x480"
SMALL = ["--img-scale", "64x64", "--batch-size", "4", "--device", "cpu", "--seed", "0"]
#: So little training finds nothing that it is sure of.
UNSURE = ["--cfg-options", "model.test_cfg.rcnn.score_thr=0.0"]
IMAGES = dict(train=8, val=4, size=(64, 64))


@dataclass(frozen=True)
class Trained:
    """The folder of a training of two epochs, its data, and what it said."""

    work: Path
    data: Path

    @property
    def output(self) -> str:
        return self.work.with_suffix(".txt").read_text(encoding="utf-8")

    @classmethod
    def once(cls, task: str, folder: Path) -> Trained:
        """Train in ``folder``, unless another worker of pytest-xdist has."""
        made = cls(folder / task, folder / f"{task}-shapes")
        with FileLock(folder / f"{task}.lock"):
            if not made.work.with_suffix(".txt").is_file():
                data = write_shapes(made.data, **IMAGES)
                config, more = {"detector": (DETECTOR, UNSURE), "segmenter": (SEGMENTER, [])}[task]
                words = ["--data", data, "--work-dir", made.work, "--epochs", 2, *SMALL, *more]
                if task == "detector":  # one of them from a cold start, as a user does
                    output = run("train", config, *words)
                else:
                    output = Command(["train", config, *words], folder / f"{task}-said.txt").end(0)
                made.work.with_suffix(".txt").write_text(output, encoding="utf-8")
        return made


def run(*words: object, code: int = 0) -> str:
    """Run the command in a process of its own, as a user does."""
    command = [sys.executable, "-m", "mmbackbones.cli", *map(str, words)]
    env = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def main_exits(*words: object, code: int = 0) -> None:
    """Run the command in this process, where a fresh one is not the point."""
    with pytest.raises(SystemExit) as end:
        main([*map(str, words)])
    assert (end.value.code or 0) == code
