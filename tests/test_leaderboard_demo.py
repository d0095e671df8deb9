"""``mmbackbones leaderboard demo``: its spec, its images, and what it never overwrites."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmbackbones.cli import leaderboard_demo as demo
from mmbackbones.errors import InputError
from mmbackbones.leaderboard.resolve import resolve, with_halving
from mmbackbones.leaderboard.spec import read_spec


def test_the_demo_is_a_board_of_one_class_of_shapes(tmp_path: Path) -> None:
    path = demo.write_demo(tmp_path / "board")
    spec = read_spec(path)
    found = resolve(spec, tmp_path / "board")
    assert len(found.board.keys) == 9
    cfg = found.configs["resnet18", "adamw"]
    assert cfg.train_dataloader.dataset.metainfo["classes"] == ("background", "shape")
    steps = {step["type"]: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps["RandomResize"]["ratio_range"] == (1.0, 1.25)  # the options name steps by their place
    assert tuple(steps["RandomCrop"]["crop_size"]) == (64, 64)
    assert with_halving(found).board.rungs == (40, 80)  # it is evaluated often enough
    labels = sorted((spec.data / "labels").rglob("*.png"))
    assert len(labels) == 220
    pixels = np.stack([cv2.imread(str(one), cv2.IMREAD_UNCHANGED) for one in labels])
    assert sorted(np.unique(pixels)) == [0, 1]
    assert 0.05 < pixels.mean() < 0.5
    before = {one: one.stat().st_mtime_ns for one in path.parent.rglob("*") if one.is_file()}
    assert demo.write_demo(tmp_path / "board") == path
    after = {one: one.stat().st_mtime_ns for one in before}
    assert {one.name for one in before if before[one] != after[one]} <= {
        path.name
    }  # so no run is asked again


def test_another_spec_of_that_name_stays(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text("mine\n")
    with pytest.raises(InputError, match=r"demo.yaml is another spec, which would be lost"):
        demo.write_demo(tmp_path)
    assert (tmp_path / "demo.yaml").read_text() == "mine\n"
    assert not (tmp_path / "data").exists()
