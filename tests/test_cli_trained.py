"""The commands test and predict with what a training left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_trainings import Trained, main_exits
from PIL import Image

from mmbackbones.data.shapes import CLASSES


def test_a_checkpoint_has_the_figures_of_its_training(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, checkpoint = trained.work / "config.py", trained.work / "last.pth"
    main_exits("test", config, checkpoint, "--work-dir", tmp_path, "--device", "cpu")
    final = json.loads((trained.work / "metrics.json").read_text())["final"]
    measured = json.loads((tmp_path / "test_metrics.json").read_text())["metrics"]
    assert set(final) <= set(measured)
    assert all(measured[key] == pytest.approx(value, abs=1e-3) for key, value in final.items())
    shown = capsys.readouterr().out
    assert all(key in shown for key in final)
    assert "test_metrics.json" in shown


# -- predict --------------------------------------------------------------------------------------


def test_boxes_of_files_and_folders(
    detector: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = sorted((detector.data / "images").rglob("*.*"))[:2]
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(images[1], folder / images[0].name)  # the same name in another place
    words = ["predict", detector.work / "config.py", detector.work / "last.pth", images[0], folder]
    main_exits(*words, "--out", tmp_path / "out", "--score-thr", "0.0", "--device", "cpu")
    result = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [entry["image"] for entry in result["images"]] == [str(images[0]), str(folder / images[0].name)]
    assert len({entry["picture"] for entry in result["images"]}) == 2
    for entry in result["images"]:
        with Image.open(tmp_path / "out" / entry["picture"]) as picture:
            assert min(picture.size) >= 64
        count = len(entry["boxes"])
        assert count == len(entry["labels"]) == len(entry["scores"]) == len(entry["classes"]) > 0
        assert entry["classes"] == [CLASSES[label] for label in entry["labels"]]
        assert entry["scores"] == sorted(entry["scores"], reverse=True)
        boxes = np.asarray(entry["boxes"])
        assert boxes.min() >= 0
        assert boxes.max() <= 64
    assert "boxes" in capsys.readouterr().out


def test_a_high_threshold_leaves_boxes_out(detector: Trained, tmp_path: Path) -> None:
    image = next((detector.data / "images").rglob("*.*"))
    words = ["predict", detector.work / "config.py", detector.work / "last.pth", image, "--out", tmp_path]
    main_exits(*words, "--score-thr", "1.0", "--device", "cpu")
    assert json.loads((tmp_path / "predictions.json").read_text())["images"][0]["boxes"] == []


def test_label_maps(segmenter: Trained, tmp_path: Path) -> None:
    image = next((segmenter.data / "images").rglob("*.*"))
    words = ["predict", segmenter.work / "config.py", segmenter.work / "last.pth", image, "--out", tmp_path]
    main_exits(*words, "--device", "cpu")
    result = json.loads((tmp_path / "predictions.json").read_text())
    (entry,) = result["images"]
    with Image.open(tmp_path / entry["labels"]) as labels:
        assert labels.size == (64, 64)
        values = np.asarray(labels)
    names, counts = np.unique(values, return_counts=True)
    found = {result["classes"][name]: int(count) for name, count in zip(names, counts, strict=True)}
    assert entry["pixels"] == found
