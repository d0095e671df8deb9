"""Cityscapes and ADE20K as they are downloaded: which label value is which class, and which are ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
from segmentation_sets import image, label

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
