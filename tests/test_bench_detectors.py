"""The bench of whole models: both sides are the same model, and the table can be made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

from mmbackbones.bench import detectors

pytest.importorskip("mmdet", reason="the extra mmbackbones[mm] is not installed")
RoIAlign = pytest.importorskip("mmcv.ops", reason="the extra mmbackbones[mm] is not installed").RoIAlign


@pytest.mark.parametrize("name", detectors.MODELS)
def test_both_sides_are_the_same_model(name: str) -> None:
    with torch.device("meta"):
        stock, ours = detectors.models(name, "meta")
    for net in (stock, ours):
        net.train()
    roi_aligns = [[one for one in net.modules() if isinstance(one, RoIAlign)] for net in (stock, ours)]
    assert {one.use_torchvision for one in roi_aligns[0]} <= {True}  # the compiled one that users have
    assert {one.use_torchvision for one in roi_aligns[1]} <= {False}
    assert (len(roi_aligns[0]), len(roi_aligns[1])) == ((4, 4) if name == "Faster R-CNN R50" else (0, 0))
    for trained in (True, False):  # stages are frozen alike
        params = [
            [one.numel() for one in net.parameters() if one.requires_grad is trained] for net in (stock, ours)
        ]
        assert sum(params[0]) == sum(params[1])
    norms = [
        [one for one in net.backbone.modules() if isinstance(one, nn.BatchNorm2d)] for net in (stock, ours)
    ]
    assert [one.training for one in norms[0]] == [one.training for one in norms[1]]


def test_a_table_and_its_json(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(detectors.main)
    out = tmp_path / "detectors.json"
    words = [
        "--quick",
        "--scale",
        "0.08",
        "--turns",
        "1",
        "--batch",
        "1",
        "--device",
        "cpu",
        "--out",
        str(out),
    ]
    words += ["--model", "RetinaNet R50"]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = json.loads(out.read_text())["rows"]
    assert [row["what"] for row in rows] == ["training", "inference"]
    for row in rows:
        assert row["size"] == "96x64"
        assert row["stock, ms"] > 0
        assert row["ours, times faster"]["median"] > 0
        assert row["ours, bf16, times faster"]["median"] > 0
    assert "RetinaNet R50" in done.output
    wrong = CliRunner().invoke(app, ["--model", "YOLO"])
    assert wrong.exit_code == 2
    assert "YOLO" in wrong.output
