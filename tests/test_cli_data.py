"""``mmbackbones data``: what it says of a folder, and the picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_trainings import main_exits
from detection_sets import coco, draw, state, write
from PIL import Image
from segmentation_sets import label

Said = pytest.CaptureFixture[str]


def test_boxes(plain: Path, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    content = coco(["a.jpg", "b.jpg"], box=[2, 3, 3, 8])
    del content["annotations"][0]
    write(plain / "train.json", content)
    draw(plain / "images" / "c.jpg", (32, 24))
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    Image.fromarray(noise).save(plain / "images" / "a.jpg")
    before = state(plain)
    main_exits("data", plain, "--out", tmp_path / "grid.png")
    said = capsys.readouterr().out
    assert "detection, layout coco, 2 classes" in said
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert rows["cat"] == ["2", "2", "1", "1"]
    assert rows["dog"] == ["1", "1", "1", "1"]
    assert "train: 2 images, width 32, 32, 32, height 24, 24, 24" in said
    assert "3 small, 0 medium, 0 large; longer side 8, 8, 8" in said
    assert "Fewer than 10 training objects: 'dog', 'cat'" in said
    assert "3 training objects are narrower than 4 pixels" in said
    assert "c.jpg' is a copy of" in said  # of b.jpg: both are the same plain picture
    assert state(plain) == before
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width > 700


def test_labels(labelled: Path, tmp_path: Path, capsys: Said) -> None:
    write(labelled / "classes.txt", "sky\nroad\ncar\n")
    for file in (labelled / "labels/val").iterdir():
        label(file, (0, 1))
    main_exits("data", labelled, "--out", tmp_path / "grid.png")
    said = capsys.readouterr().out
    assert "segmentation, layout folders, 3 classes" in said
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert rows["car"] == ["2", "120", "0", "0"]
    assert "The val split has none of 'car'" in said
    assert (tmp_path / "grid.png").is_file()


def test_what_is_refused(plain: Path, tmp_path: Path, capsys: Said) -> None:
    for words, says in (
        ((tmp_path / "nothing",), "There is no folder"),
        ((plain, "--task", "poses"), "--task 'poses' is unknown; use detection or segmentation"),
        ((plain, "--out", "a.jpg"), "the picture is a PNG; write a.png"),
    ):
        main_exits("data", *words, code=2)
        assert says in capsys.readouterr().err
    shutil.rmtree(plain / "images")
    main_exits("data", plain, code=2)
    assert "in none of the folders" in capsys.readouterr().err
