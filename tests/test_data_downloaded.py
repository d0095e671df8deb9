"""Cityscapes and ADE20K as they are downloaded: which label value is which class, and which are ignored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from segmentation_sets import SIZE, files, image, label

from mmbackbones import InputError


def test_cityscapes(look_at_labels, tmp_path: Path) -> None:
    root = tmp_path / "cityscapes"
    for split, town in (("train", "aachen"), ("val", "bonn"), ("test", "ulm")):
        image(root / "leftImg8bit" / split / town / f"{town}_1_leftImg8bit.png")
        for kind in ("labelIds", "instanceIds", "color"):
            label(root / "gtFine" / split / town / f"{town}_1_gtFine_{kind}.png", (0, 7, 26, 33))
    data = look_at_labels(root)
    assert len(data.classes) == 19
    assert data.classes[:2] == ("road", "sidewalk")
    assert [data.label_map[value] for value in (7, 26, 33)] == [0, 13, 18]
    assert data.label_map[0] == data.label_map[29] == 255
    assert data.val.label_suffix == "_gtFine_labelIds.png"
    assert sum("ignored" in note for note in data.notes) == 1  # not a line for each of its 15 values
    for split, town in (("train", "aachen"), ("val", "bonn")):
        label(root / "gtFine" / split / town / f"{town}_1_gtFine_labelTrainIds.png", (0, 13, 18, 255))
    by_evaluation = look_at_labels(root)
    assert by_evaluation.val.label_suffix == "_gtFine_labelTrainIds.png"
    assert by_evaluation.classes == data.classes
    assert by_evaluation.label_map == {}
    label(root / "gtFine/val/bonn/bonn_1_gtFine_labelTrainIds.png", (0, 19))  # others that are named so
    assert look_at_labels(root).classes[0] == "class_0"


def test_ade20k(look_at_labels, tmp_path: Path) -> None:
    root = tmp_path / "ADEChallengeData2016"
    for split in ("training", "validation"):
        image(root / "images" / split / "ADE_1.jpg")
        label(root / "annotations" / split / "ADE_1.png", (0, 1, 2))
    rows = [("Idx", "Ratio", "Name"), ("1", "0.1", "wall"), ("2", "0.1", "building, edifice")]
    table = root / "objectInfo150.txt"
    table.write_text("\n".join(map("\t".join, rows)))
    data = look_at_labels(root)
    assert data.classes == ("wall", "building")
    assert data.label_map == {1: 0, 2: 1, 0: 255}
    table.write_text("wall")
    with pytest.raises(InputError, match="is not ADE20K's table of classes"):
        look_at_labels(root)


TABLE = {"Building": (128, 0, 0), "Void": (0, 0, 0), "Car": (64, 0, 128)}


def coloured(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.resize(np.array([TABLE.get(name, (9, 8, 7)) for name in names], np.uint8), (*SIZE[::-1], 3))
    Image.fromarray(pixels).save(path)
    return path


def test_camvid_with_colours(look_at_labels, tmp_path: Path) -> None:
    """As its authors hand it out, and as copies with splits have it."""
    root = tmp_path / "camvid"
    for name in ("0001TP_1", "Seq05VD_2"):
        image(root / "701_StillsRaw_full" / f"{name}.png")
        coloured(root / "LabeledApproved_full" / f"{name}_L.png", "Car", "Void", "Building")
    rows = ["\t".join([" ".join(map(str, colour)), "", name]) for name, colour in TABLE.items()]
    (root / "label_colors.txt").write_text("\n".join(rows))
    copy = tmp_path / "copy"
    for split in ("train", "val", "test"):
        image(copy / split / f"{split}.png")
        coloured(copy / f"{split}_labels" / f"{split}_L.png", "Car", "Void", "Building")
    table = [f"{name},{r},{g},{b}" for name, (r, g, b) in TABLE.items()]
    (copy / "class_dict.csv").write_text("\n".join(["name,r,g,b", *table]))
    for folder in (root, copy):
        data = look_at_labels(folder)
        assert data.classes == ("Building", "Car")
        assert data.palette == (TABLE["Building"], TABLE["Car"])
        assert data.label_map == {2: 1, 1: 255}
        ((_, written),) = files(data.train)
        assert np.asarray(Image.open(written)).ravel()[:4].tolist() == [2, 1, 0, 2]
    (copy / "class_dict.csv").write_text("\n".join(["name,r,g,b", *reversed(table)]))  # other values
    ((_, written),) = files(look_at_labels(copy).train)
    assert np.asarray(Image.open(written)).ravel()[:4].tolist() == [0, 1, 2, 0]
    coloured(copy / "val_labels" / "val_L.png", "Car", "of no class")
    with pytest.raises(InputError, match=r"1 labels hold colours .*val_L.png holds 9 8 7' \(R G B\)"):
        look_at_labels(copy)
    (copy / "class_dict.csv").write_text("name,r,g\nCar,1,2")
    with pytest.raises(InputError, match="Cannot read the colours of classes from '.*class_dict.csv'"):
        look_at_labels(copy)
