"""YOLO's text layout, with a data.yaml as Ultralytics and Roboflow write it, and without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from detection_sets import draw, names_of, write

from mmbackbones import InputError
from mmbackbones.data.layouts import looks_like

LINES = "1 0.5 0.5 0.25 0.5\n0 0.125 0.25 0.25 0.5\n"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """``images/{train,val}`` and ``labels/{train,val}`` of 32x24 images; b has no object."""
    root = tmp_path / "set"
    for name in ("train/a", "train/b", "val/c", "test/d"):
        draw(root / "images" / f"{name}.jpg")
    for name in ("train/a", "val/c", "test/d"):
        write(root / "labels" / f"{name}.txt", LINES)
    return root


def annotations(split: Any) -> list[dict[str, Any]]:
    return json.loads(split.ann_file.read_text())["annotations"]


def test_folders_without_a_yaml(look, texts: Path) -> None:
    data = look(texts, test=True)
    assert data.layout == "yolo"
    assert data.classes == ("class_0", "class_1")
    assert names_of(data.train) == {"a.jpg", "b.jpg"}
    assert names_of(data.val) == {"c.jpg"}
    assert names_of(data.test) == {"d.jpg"}
    assert [one["bbox"] for one in annotations(data.val)] == [[12, 6, 8, 12], [0, 0, 8, 12]]
    assert [one["category_id"] for one in annotations(data.val)] == [2, 1]
    write(texts / "classes.txt", "cat\ndog\n")
    assert look(texts).classes == ("cat", "dog")
    assert look(texts).test is None


@pytest.mark.parametrize("names", ["[cat, dog]", "{0: cat, 1: dog}"])
def test_ultralytics_yaml(look, texts: Path, names: str) -> None:
    write(texts / "data.yaml", f"path: .\ntrain: images/train\nval: images/val\nnames: {names}\n")
    data = look(texts)
    assert data.classes == ("cat", "dog")
    assert names_of(data.val) == {"c.jpg"}


def test_a_folder_is_named_from_where_one_stands(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(texts / "data.yaml", "path: ../set\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n")
    monkeypatch.chdir(texts.parent)
    assert looks_like(texts.name) == "detection"


def test_roboflows_folders_and_yaml(look, tmp_path: Path) -> None:
    root = tmp_path / "robo"
    for split in ("train", "valid"):
        draw(root / split / "images" / f"{split}.jpg")
        write(root / split / "labels" / f"{split}.txt", "0 0.25 0.25 0.75 0.25 0.75 0.75\n")
    write(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cat']\n")
    data = look(root)
    assert names_of(data.val) == {"valid.jpg"}
    assert data.has_masks
    (one,) = annotations(data.train)
    assert one["segmentation"] == [[8, 6, 24, 6, 24, 18]]
    assert one["bbox"] == [8, 6, 16, 12]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2 0.5 0.5 0.1 0.1", "line 1 of 'a.txt': class 2, but the classes are 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5"),
        ("0 0.5 0.5 0.1", "line 1 of 'a.txt' has 4 numbers"),
        ("0 16 12 8 8", "holds 16: numbers are shares of the image"),
        ("cat 0.5 0.5 0.1 0.1", "Cannot read .*a.txt.*A line is: class x y width height"),
        ("0 0.5 0.5 0 0.1", "line 1 of 'a.txt' of image 'a.jpg': box .* has zero or negative size"),
    ],
)
def test_lines_that_cannot_be_used(look, texts: Path, line: str, says: str) -> None:
    write(texts / "classes.txt", "cat\ndog\n")
    write(texts / "labels/train/a.txt", line)
    with pytest.raises(InputError, match=says):
        look(texts)


def test_a_yaml_that_leads_nowhere(look, texts: Path) -> None:
    write(texts / "data.yaml", "train: pictures\nval: images/val\nnames: [cat, dog]\n")
    with pytest.raises(InputError, match="names 'pictures', but there is no such folder"):
        look(texts)
    write(texts / "data.yaml", "train: [\n")
    with pytest.raises(InputError, match="Cannot read .*data.yaml"):
        look(texts)
