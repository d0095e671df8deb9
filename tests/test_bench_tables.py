"""The smaller benches: limits, depthwise, scaling, data, start. Each makes its table and its JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from cases import swept
from typer.testing import CliRunner

from mmbackbones.bench import data, depthwise, limits, scaling, start


def run(main: Callable[..., Any], *words: str) -> Any:
    app = typer.Typer()
    app.command()(main)
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, words, catch_exceptions=False)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is the net's GFLOP/s of the product's, in the same precision; training counts three passes."""
    monkeypatch.setattr(limits, "SIDE", 64)
    out = tmp_path / "limits.json"
    done = run(limits.main, "--quick", "--net", "mobilenetv1_025", "--device", "cpu", "--out", str(out))
    assert done.exit_code == 0, done.output
    rows = json.loads(out.read_text())["rows"]
    assert [(row["what"], row["precision"]) for row in rows] == [
        *(("inference", "fp32"), ("inference", "bf16")),
        *(("training", "fp32"), ("training", "bf16")),
    ]
    for row in rows:
        assert row["part"] == pytest.approx(row["GFLOP/s"] / row["product, GFLOP/s"])
    assert rows[0]["product, GFLOP/s"] == rows[2]["product, GFLOP/s"] != rows[1]["product, GFLOP/s"]
    assert "mobilenetv1_025" in done.output


def test_depthwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depthwise, "LAYERS", [("a net", 8, 5, 2, (2, 9, 11))])
    out = tmp_path / "depthwise.json"
    done = run(depthwise.main, "--quick", "--out", str(out))
    assert done.exit_code == 0, done.output
    (row,) = json.loads(out.read_text())["rows"]
    assert row["layer"] == "a net: 5x5, stride 2, of 2x8x9x11"
    assert row["fp32, times faster"] > 0 < row["bf16, times faster"]
    assert row["layer"] in done.output


def test_ways_to_read_an_image(tmp_path: Path) -> None:
    out = tmp_path / "data.json"
    done = run(data.main, "--quick", "--out", str(out))
    assert done.exit_code == 0, done.output
    rows = json.loads(out.read_text())["rows"]
    assert [row["file"] for row in rows] == [f"{w}x{h}" for w, h in data.SIZES for _ in data.WAYS]
    apart = {(row["file"], row["way"]): row["grey levels, 99 %"] for row in rows}
    assert all(found <= 2 for (_, way), found in apart.items() if way in ("OpenCV", "torchvision"))
    assert apart["1280x960", "OpenCV, decoded at half size"] == 0  # half of it would be too small
    assert apart["2560x1920", "OpenCV, decoded at half size"] > 0


@pytest.mark.parametrize("way", data.WAYS)
def test_every_way_makes_the_same_size_and_order_of_colours(way: str) -> None:
    cv2 = pytest.importorskip("cv2")
    blue = np.zeros((1200, 2000, 3), np.uint8)
    blue[..., 0] = 200
    image = data.WAYS[way](cv2.imencode(".jpg", blue)[1].tobytes())
    assert image.shape == (800, 1333, 3)
    assert image[400, 600, 0] > 150 > 50 > image[400, 600, 2]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    done = run(data.main, "--images", str(tmp_path))
    assert done.exit_code == 2
    assert "no .jpg, .jpeg or .png" in done.output


def test_what_can_grow_is_named() -> None:
    done = run(scaling.main, "--grows", "colour", "--device", "cpu")
    assert done.exit_code == 2
    assert "known are image, batch, boxes, threads" in done.output


def test_cells_of_scaling() -> None:
    row = {"what grows": "batch", "step": "2 of 512x320"} | {"stock, ms": 10.0, "ours, ms": 5.0}
    row |= {"ours / stock, ms": 0.5, "stock, MiB": 8.0, "ours, MiB": 6.0, "ours / stock, MiB": 0.75}
    assert scaling.cells([row]) == [["batch", "2 of 512x320", "10 to 5 (0.50)", "8 to 6 (0.75)"]]


@swept("two fresh processes that build detectors")
def test_scaling(tmp_path: Path) -> None:
    pytest.importorskip("mmdet", reason="the extra mmbackbones[mm] is not installed")
    out = tmp_path / "scaling.json"
    done = run(scaling.main, "--quick", "--device", "cpu", "--out", str(out))
    assert done.exit_code == 0, done.output
    (row,) = json.loads(out.read_text())["rows"]
    assert row["step"].startswith("1 of 96x64, 64 boxes")
    assert min(row["stock, ms"], row["ours, ms"], row["stock, MiB"], row["ours, MiB"]) > 0
    assert row["ours / stock, ms"] == pytest.approx(row["ours, ms"] / row["stock, ms"])


def test_the_clock_stops_when_losses_are_logged(tmp_path: Path) -> None:
    work = tmp_path / "work"
    log = "import pathlib, time; p = pathlib.Path({!r}); p.mkdir(parents=True); "
    log += "(p / 'a.json').write_text('{{\"loss\": 1}}'); time.sleep(60)"
    words = [sys.executable, "-c", log.format(str(work / "now/vis_data"))]
    assert 0 < start.seconds_to_first_step(words, work) < 50
    ends = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with pytest.raises(RuntimeError, match="made no step: .*no such thing"):
        start.seconds_to_first_step(ends, tmp_path / "other")


@swept("two fresh processes that train")
def test_start(tmp_path: Path) -> None:
    pytest.importorskip("mmdet", reason="the extra mmbackbones[mm] is not installed")
    out = tmp_path / "start.json"
    done = run(start.main, "--quick", "--out", str(out))
    assert done.exit_code == 0, done.output
    theirs, ours = json.loads(out.read_text())["rows"]
    assert (theirs["command"], ours["command"]) == start.WAYS
    assert ours["of the other's"] == pytest.approx(ours["seconds"] / theirs["seconds"])
