"""The bench of whole models: both sides are the same model, and the table can be made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from mmbackbones.bench import detectors

pytest.importorskip("mmdet", reason="the extra mmbackbones[mm] is not installed")


@pytest.mark.parametrize("name", detectors.MODELS)
def test_both_sides_are_the_same_model(name: str) -> None:
    with torch.device("meta"):
        stock, ours = detectors.models(name, "meta")
    counts = [sum(param.numel() for param in net.parameters()) for net in (stock, ours)]
    assert counts[0] == pytest.approx(counts[1], rel=1e-3)


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
