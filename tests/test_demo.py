"""``mmbackbones demo``: what it starts, and, in the sweep, that it goes its whole way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import swept

from mmbackbones.cli import demo, main


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few small images for one epoch."""
    for name, value in dict(TRAIN=8, VAL=2, SIZE=(64, 64), EPOCHS=1, BATCH=4).items():
        monkeypatch.setattr(demo, name, value)


@pytest.mark.parametrize(("cores", "on_gpu", "processes"), [(1, False, 1), (4, False, 2), (4, True, 1)])
@pytest.mark.usefixtures("small")
def test_cores_get_a_process_each_and_the_batch_stays(
    cores: int, on_gpu: bool, processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[tuple[Any, ...]] = []
    monkeypatch.setattr(demo, "cores", lambda: cores)
    monkeypatch.setattr(demo, "on_gpu", lambda device: on_gpu)
    monkeypatch.setattr(demo, "call_together", lambda *args, **kwargs: began.append(args))
    with pytest.raises(SystemExit):
        main(["demo", "--work-dir", str(tmp_path), "--seed", "3"])
    [(count, _, config, settings, work_dir)] = began
    assert (count, config, work_dir) == (processes, demo.CONFIG, tmp_path)
    assert count * settings.batch_size == 4
    assert (settings.seed, settings.epochs, settings.data) == (3, 1, tmp_path / "data")
    assert len(list((tmp_path / "data/images").rglob("*.jpg"))) == 10


def test_whether_it_runs_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not demo.on_gpu("cpu")
    assert demo.on_gpu("cuda:1")
    assert demo.on_gpu(None) == torch.cuda.is_available()
    monkeypatch.setattr(demo.ctypes, "CDLL", lambda name: None)  # a driver is there
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert demo.on_gpu(None) is there


@swept("two cold processes that train")
@pytest.mark.usefixtures("small")
def test_the_whole_way(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mmdet", reason="the extra mmbackbones[mm] is not installed")
    with pytest.raises(SystemExit) as end:
        main(["demo", "--work-dir", str(tmp_path), "--device", "cpu"])
    assert end.value.code == 0, capfd.readouterr()
    assert "8 images to train on and 2 to check on" in capfd.readouterr().out
    assert json.loads((tmp_path / "metrics.json").read_text())["epochs"] == 1
    for name in ("predictions.png", "curves.png", "best.pth", "config.py"):
        assert (tmp_path / name).is_file()
