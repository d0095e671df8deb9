"""The transfer score of a run that starts from weights, on boxes and labels; and limits in a spec."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from test_leaderboard_training import DETECTION, DETECTOR, SHAPES, SPEC, trainings_of  # noqa: F401

from mmbackbones import build
from mmbackbones.errors import InputError
from mmbackbones.leaderboard import transfer
from mmbackbones.leaderboard.spec import read_spec
from mmbackbones.leaderboard.transfer import transfer_score
from mmbackbones.leaderboard.worker import starts_pretrained, train_and_measure

NETS = {"segmentation": SPEC, "detection": DETECTION.replace("CONFIG", DETECTOR)}


@pytest.mark.parametrize("task", list(NETS))
def test_weights_that_show_less_score_less(
    task: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are read: with a first convolution of noughts all boxes and labels look alike."""
    monkeypatch.setattr(transfer, "IMAGES", 6)
    trainings, run = trainings_of(NETS[task].replace("DATA", str(shapes)), tmp_path)
    cfg = trainings.resolved.config(run.backbone, run.trial, 0)
    assert not starts_pretrained(cfg)
    before = cfg.pretty_text
    torch.manual_seed(0)
    weights = build("mobilenetv1_025").state_dict()
    scores = {}
    for name, factor in (("as it is", 1.0), ("blind", 0.0)):
        first = next(iter(weights))
        torch.save({**weights, first: weights[first] * factor}, tmp_path / "weights.pth")
        pretrained = {"type": "Pretrained", "checkpoint": str(tmp_path / "weights.pth")}
        cfg.model.backbone.init_cfg = pretrained
        assert starts_pretrained(cfg)
        scores[name] = transfer_score(cfg, "cpu")
    assert scores["as it is"] > scores["blind"] + 0.003
    del cfg.model.backbone.init_cfg
    assert cfg.pretty_text == before  # nothing of the run is changed


def test_a_probe_scores_what_starts_from_weights(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "IMAGES", 4)
    trainings, run = trainings_of(SPEC.replace("DATA", str(shapes)), tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    trainings.prepare(run, folder)
    torch.save(build("mobilenetv1_025").state_dict(), tmp_path / "weights.pth")
    cfg = Config.fromfile(folder / "config.py")
    cfg.model.backbone.init_cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "weights.pth")}
    cfg.dump(folder / "config.py")
    outcome = train_and_measure(folder, folder / "train", "segmentation", "cpu", until=0)
    known = outcome.facts["forecast"]
    assert known["transfer"] == pytest.approx(transfer_score(cfg, "cpu"), abs=1e-3)
    assert known.keys() == {"seconds", "memory_mib", "latency_ms", "params", "transfer"}


def test_a_limit_of_latency_is_read_and_a_bad_one_told_its_line(shapes: Path, tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(SPEC.replace("DATA", str(shapes)) + "limits: {max_params: 1M, max_latency: 12.5}\n")
    assert read_spec(path).max_latency == 12.5
    for bad in ("0", "fast", "true"):
        path.write_text(SPEC.replace("DATA", str(shapes)) + f"limits:\n  max_latency: {bad}\n")
        line = path.read_text().splitlines().index(f"  max_latency: {bad}") + 1
        with pytest.raises(InputError, match=rf"board.yaml:{line}: limits.max_latency .* must be a number"):
            read_spec(path)
