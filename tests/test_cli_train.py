"""The command trains on small images, from the command line's words to the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cli_trainings import DETECTOR, IMAGES, SMALL, UNSURE, Trained, main_exits
from PIL import Image

from mmbackbones.compose.configs import load_config
from mmbackbones.data.shapes import CLASSES, write_shapes
from mmbackbones.weights.files import read_checkpoint


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the trainings of other processes have: sums in another order have other last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


#: torch 2.4 says it past all filters, when mmengine imports torch.distributed.optim.
PAST_FILTERS = "DeprecationWarning: `TorchScript` support for functional optimizers is deprecated"


def test_training_leaves_everything_in_one_folder(trained: Trained) -> None:
    for name in ("last.pth", "best.pth", "metrics.json", "curves.png", "predictions.png", "config.py"):
        assert (trained.work / name).stat().st_size > 0, name
        assert name in trained.output
    for name in ("curves.png", "predictions.png"):
        with Image.open(trained.work / name) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("RGB").resize((64, 64)).getcolors(4096) or []) > 20
    assert not list(trained.work.rglob("*.part"))


def test_metrics_have_every_evaluation(trained: Trained) -> None:
    metrics = json.loads((trained.work / "metrics.json").read_text())
    detection = metrics["task"] == "detection"
    main_figure = "coco/bbox_mAP_50" if detection else "mIoU"
    assert [row["epoch" if detection else "iteration"] for row in metrics["history"]] == (
        [1, 2] if detection else [2, 4]
    )
    assert metrics["final"] == {
        key: value for key, value in metrics["history"][-1].items() if key not in ("epoch", "iteration")
    }
    assert metrics["best"][main_figure] == max(row[main_figure] for row in metrics["history"])
    assert metrics["classes"][-len(CLASSES) :] == list(CLASSES)
    assert list(metrics["by_class"]) == metrics["classes"]
    known = [value for value in metrics["by_class"].values() if value is not None]
    mean = metrics["final"]["coco/bbox_mAP" if detection else "mIoU"]
    assert sum(known) / len(known) == pytest.approx(mean, abs=0.01)
    assert all(name in trained.output for name in metrics["classes"])


def test_the_summary_names_the_last_and_the_best(trained: Trained) -> None:
    metrics = json.loads((trained.work / "metrics.json").read_text())
    unit = "epoch" if "epochs" in metrics else "iteration"
    rows = {row.pop(unit): row for row in metrics["history"]}
    assert metrics["best"] == rows[metrics[f"best_{unit}"]]
    assert f"last.pth, {unit} {max(rows)}" in trained.output
    (line,) = [line for line in trained.output.splitlines() if line.startswith("best.pth, ")]
    assert f"{unit} {metrics[f'best_{unit}']} " in line
    figure = metrics["best"]["coco/bbox_mAP" if unit == "epoch" else "mIoU"]
    assert f"{figure:.3f}" in line


def test_metrics_have_what_the_training_cost(trained: Trained) -> None:
    metrics = json.loads((trained.work / "metrics.json").read_text())
    assert 0 < metrics["predict_ms"] < metrics["train_ms"] < 1e3 * metrics["seconds"]
    assert metrics["memory_mib"] >= 0  # 0 where all of it had been used by the tests before
    assert "training, ms/image" in trained.output


def test_progress_is_shown_on_plain_lines(trained: Trained) -> None:
    lines = trained.output.splitlines()
    assert any(line.startswith("train 4/4") and "loss" in line and "left" in line for line in lines)
    assert any("following the batch size" in line for line in lines)
    assert any("mAP" in line or "mIoU" in line for line in lines)
    assert "Traceback" not in trained.output
    assert "Warning" not in trained.output.replace(PAST_FILTERS, "")
    assert "loading annotations" not in trained.output  # libraries print into the log
    logs = list(trained.work.glob("*/*.log"))
    assert len(logs) == 1
    assert logs[0].read_text().count("What trains:\npart ") == 1  # the report of freeze-report
    assert "Epoch(train)" in logs[0].read_text() or "Iter(train)" in logs[0].read_text()


@pytest.mark.usefixtures("one_thread")
def test_the_resolved_config_is_complete_and_trains_again(detector: Trained, tmp_path: Path) -> None:
    cfg = load_config(str(detector.work / "config.py"))
    assert cfg.train_cfg.max_epochs == 2
    assert cfg.model.roi_head.bbox_head.num_classes == len(CLASSES)
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size == 4
    assert cfg.resume is False
    assert "launcher" not in cfg
    assert "img_scale" not in cfg  # a variable of the file that it came from, of no effect by now
    assert "_scope_" not in (detector.work / "config.py").read_text()
    rate = cfg.optim_wrapper.optimizer.lr
    again = tmp_path / "again"
    main_exits("train", detector.work / "config.py", "--work-dir", again, "--device", "cpu")
    assert load_config(str(again / "config.py")).optim_wrapper.optimizer.lr == rate
    first, second = (read_checkpoint(work / "last.pth")["state_dict"] for work in (detector.work, again))
    assert all(torch.equal(first[key], second[key]) for key in first)  # same seed, same weights


def test_the_users_data_is_not_changed(trained: Trained, tmp_path: Path) -> None:
    fresh = write_shapes(tmp_path / "fresh", **IMAGES)
    ours, theirs = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (trained.data, fresh)
    )
    assert ours == theirs


def test_a_finished_training_is_prolonged(
    detector: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    shutil.copytree(detector.work, work, symlinks=True)
    words = [DETECTOR, "--data", detector.data, "--work-dir", work, "--epochs", 3, *SMALL]
    main_exits("train", *words, "--resume", *UNSURE)
    output = capsys.readouterr().out
    assert "epoch 3/3" in output
    assert "epoch 1/3" not in output
    history = json.loads((work / "metrics.json").read_text())["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3]
