"""Detectors that count iterations and segmenters that count epochs: each evaluation is found again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli_trainings import DETECTOR, SEGMENTER, SMALL, UNSURE
from mmengine.config import Config

from mmbackbones.cli import main
from mmbackbones.compose.configs import load_config

SHAPES = dict(train=8, val=2)
BY_ITERATIONS = (dict(type="IterBasedTrainLoop", max_iters=4, val_interval=2), "InfiniteSampler")
BY_EPOCHS = (dict(by_epoch=True, max_epochs=2, val_interval=1), "DefaultSampler")


@pytest.fixture(params=[(DETECTOR, UNSURE, *BY_ITERATIONS), (SEGMENTER, [], *BY_EPOCHS)], ids=["det", "seg"])
def turned(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[str], bool]:
    """A config whose loop counts what its task's usually does not, options, and whether that is epochs."""
    name, options, loop, sampler = request.param
    cfg = load_config(name)
    in_epochs = bool(loop.get("by_epoch"))
    cfg = Config({**cfg.to_dict(), "train_cfg": loop, "param_scheduler": []})
    cfg.train_dataloader.sampler = dict(type=sampler, shuffle=True)
    cfg.default_hooks.checkpoint = dict(
        type="CheckpointHook", by_epoch=in_epochs, interval=loop["val_interval"]
    )
    cfg.log_processor = dict(type="LogProcessor", by_epoch=in_epochs)
    cfg.dump(str(tmp_path / "turned.py"))
    return tmp_path / "turned.py", options, in_epochs


def test_each_evaluation_is_found_again(
    turned: tuple[Path, list[str], bool], shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, options, in_epochs = turned
    work = tmp_path / "work"
    with pytest.raises(SystemExit) as end:
        main(["train", str(config), "--data", str(shapes), "--work-dir", str(work), *SMALL, *options])
    said = capsys.readouterr().out
    assert end.value.code in (0, None), said
    metrics = json.loads((work / "metrics.json").read_text())
    unit, steps = ("epoch", [1, 2]) if in_epochs else ("iteration", [2, 4])
    assert [one[unit] for one in metrics["history"]] == steps
    assert metrics[f"best_{unit}"] in steps
    assert metrics["final"] == {key: value for key, value in metrics["history"][-1].items() if key != unit}
    assert metrics["final"]
    assert len(re.findall(rf"^{unit} \d.*: ", said, re.MULTILINE)) == 2, said
