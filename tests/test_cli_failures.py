"""Trainings that fail, stop, or would overwrite another: what is said, and the exit status."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from mmbackbones.cli import main
from mmbackbones.engine.work_dir import check_unused
from mmbackbones.errors import InputError
from mmbackbones.weights.checkpoints import read_checkpoint

DETECTOR = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
SEGMENTER = "segmentation/linear_resnet18-scratch-d16_1xb8-8k_cityscapes-360x480"
SMALL = ["--img-scale", "64x64", "--batch-size", "4", "--device", "cpu"]


#: For the fixture ``shapes``.
SHAPES = dict(train=8, val=2)


def train(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    """Train in this process; returns what is shown."""
    return command(capsys, code, "train", *words, *SMALL)


def command(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    """Run it in this process; returns what is shown."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([*map(str, words)])
    shown = "".join(capsys.readouterr())
    assert end.value.code == code, shown
    return " ".join(shown.split())


def test_a_loss_that_is_no_number_stops_the_training(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", shapes, "--work-dir", tmp_path / "w", "--epochs", 9, "--lr", "1e30", "--seed", 0]
    shown = train(capsys, 2, SEGMENTER, *words)
    assert "The training failed: the loss is nan" in shown
    assert "at iteration 2, with a learning rate of 9.47" in shown
    assert not (tmp_path / "w" / "metrics.json").exists()


def test_one_training_in_a_folder(shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Undisturbed; resumed from its first epoch, without a seed, to the same weights; resumed at its end;
    refused anew; and one that finds nothing, which is a failure."""
    first, second = tmp_path / "first", tmp_path / "second"
    blind = ["--cfg-options", "model.test_cfg.rcnn.score_thr=2.0"]  # no box scores that
    words: list[object] = [DETECTOR, "--data", shapes, "--epochs", 2]
    shown = train(capsys, 1, *words, "--work-dir", first, *blind)
    assert "The training failed: nothing was found in any validation image" in shown
    assert shown.index("metrics.json") < shown.index("The training failed"), "said last"
    assert "by class" not in shown
    assert all(f"epoch {epoch}/2: nothing was found in any validation image" in shown for epoch in (1, 2))
    assert shown.count("nothing was found") == 3, "no epoch is evaluated twice"
    assert "ERROR" not in shown, "mmdet's own words"
    shown = command(capsys, 1, "test", first / "config.py", first / "last.pth", "--work-dir", tmp_path / "t")
    assert "The test failed: nothing was found in any image" in shown
    assert "metric" not in shown.partition("figures")[0]
    assert "ERROR" not in shown

    shutil.copytree(first, second)
    train(capsys, 1, *words, "--work-dir", second, *blind, "--resume", second / "epoch_1.pth")
    weights, others = (read_checkpoint(work / "last.pth")["state_dict"] for work in (first, second))
    assert all(torch.equal(weights[key], others[key]) for key in weights)

    shown = train(capsys, 1, *words, "--work-dir", first, *blind, "--resume")
    assert "has ended already, with epoch 2 of 2: nothing is left to train" in shown

    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    shown = train(capsys, 2, *words, "--work-dir", first)
    assert "first holds a training already" in shown
    assert "Go on with that by --resume" in shown
    assert "first_2" in shown
    assert before == {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}


def test_what_a_failed_start_left_may_go_but_not_the_users_config(tmp_path: Path) -> None:
    check_unused(tmp_path)
    (tmp_path / "config.py").write_text("mine = 1\n")
    with pytest.raises(InputError, match=r"holds a config\.py, which would be replaced: .*_2"):
        check_unused(tmp_path)
    (tmp_path / "20260101_000000" / "vis_data").mkdir(parents=True)
    check_unused(tmp_path)
    (tmp_path / "last_checkpoint").write_text("epoch_1.pth")
    check_unused(tmp_path, resume=tmp_path / "epoch_1.pth")
    with pytest.raises(InputError, match=r"holds a training already \(last_checkpoint\)"):
        check_unused(tmp_path, resume=tmp_path / "elsewhere" / "epoch_1.pth")
