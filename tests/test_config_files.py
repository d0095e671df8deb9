"""Configs and options as they are found, read and refused; histories of trainings."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from fit_cases import DEEPLAB, FASTER
from mmengine.config import Config
from mmengine.config import config as mmengine_config

from mmbackbones.cli.options import normalise
from mmbackbones.compose.classes import set_num_classes
from mmbackbones.compose.configs import (
    apply_options,
    find_config,
    kind,
    load_config,
    parse_options,
    shipped_names,
    task_of,
)
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.engine.report import read_history
from mmbackbones.engine.runner import OnceFormatted
from mmbackbones.errors import InputError

# -- finding and reading configs ------------------------------------------------------------------


def test_names_of_all_three_packages_are_found() -> None:
    ours = shipped_names("mmbackbones")
    assert "detection/faster-rcnn_resnet50_fpn_1x_coco" in ours
    for name in (ours[0], f"{ours[0]}.py", ours[0].rpartition("/")[2], FASTER, DEEPLAB):
        assert find_config(name).is_file()


def test_the_scope_tells_the_task() -> None:
    assert task_of(load_config(FASTER)) == "detection"
    assert task_of(load_config(DEEPLAB)) == "segmentation"


def test_a_lazy_config_is_read_like_a_text_config(tmp_path: Path) -> None:
    lazy = tmp_path / "lazy.py"
    lazy.write_text(
        "from mmdet.models.detectors import FasterRCNN\n"
        "default_scope = 'mmdet'\n"
        "model = dict(type=FasterRCNN, roi_head=dict(bbox_head=dict(num_classes=80)))\n"
    )
    cfg = load_config(str(lazy))
    assert kind(cfg.model) == "FasterRCNN"
    assert set_num_classes(cfg.model, 3) == []
    assert cfg.model.roi_head.bbox_head.num_classes == 3


def test_the_text_that_each_checkpoint_holds_is_formatted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = load_config("detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160")
    cfg.work_dir = "a"
    before = cfg.pretty_text
    formatted: list[str] = []
    theirs = mmengine_config.FormatCode
    monkeypatch.setattr(
        mmengine_config, "FormatCode", lambda text, **style: formatted.append(text) or theirs(text, **style)
    )
    monkeypatch.setattr(OnceFormatted, "texts", {})
    once = OnceFormatted.of(cfg)
    assert once.pretty_text == once.dump() == copy.deepcopy(once).pretty_text == before
    assert len(formatted) == len(cfg)
    once.work_dir = "b"
    assert once.pretty_text == before.replace("work_dir = 'a'", "work_dir = 'b'")
    assert len(formatted) == len(cfg) + 1


def test_options_have_mmengines_values() -> None:
    assert parse_options(["a={'type': 'X', 'b': (1, {'c': None})}", "d=[{'e': 1}, 2]"]) == {
        "a": {"type": "X", "b": (1, {"c": None})},
        "d": [{"e": 1}, 2],
    }
    found = parse_options(["a.b=1", "c=[1,2.5,x]", "d=True", "e=(1,2)"])
    assert found == {"a.b": 1, "c": [1, 2.5, "x"], "d": True, "e": (1, 2)}
    cfg = load_config(FASTER)
    apply_options(cfg, {"model.rpn_head.anchor_generator.scales": [4], "randomness.seed": 3})
    assert cfg.model.rpn_head.anchor_generator.scales == [4]
    assert cfg.randomness.seed == 3


@pytest.mark.parametrize("value", ["dict(type='X',b=1)", "[dict(a=1,b=2)]", "{a:1}", "x(1,2)", "dict(a=1),2"])
def test_values_that_mmengine_recurses_on_are_refused(value: str) -> None:
    with pytest.raises(
        InputError, match=r"--cfg-options 'model.neck=.* cannot be read. Write a dict in quotes"
    ):
        parse_options([f"model.neck={value}"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(batch_size=0), "--batch-size 0: at least 1 image"),
        (Settings(epochs=0), "--epochs 0: at least 1 epoch"),
        (Settings(lr=-1.0), "--lr -1.0: a learning rate must be above 0"),
        (Settings(options=["lr"]), "--cfg-options 'lr' is not key=value"),
        (Settings(options=["a b=1"]), "--cfg-options 'a b=1' is not key=value"),
        (Settings(options=["optim_wraper.x=1"]), "has no 'optim_wraper'. Nearest: optim_wrapper"),
    ],
)
def test_bad_settings(settings: Settings, message: str, shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fit(load_config(FASTER), Settings(**{**vars(settings), "data": shapes}), cache_dir=tmp_path)
    assert message in str(caught.value)


def test_a_config_without_training_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no training parts"):
        fit(Config({"model": {"type": "x"}}), Settings(), cache_dir=tmp_path)


# -- spellings of the command line ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--img-scale", "640x480"], ["--img-scale=640x480"]),
        (["--img-scale", "640", "480", "x"], ["--img-scale=640x480", "x"]),
        (["--cfg-options", "a=1", "b=2", "--amp"], ["--cfg-options=a=1", "--cfg-options=b=2", "--amp=auto"]),
        (["--cfg-options", "a=1", "c.pth"], ["--cfg-options=a=1", "c.pth"]),
        (["--cfg-options", "nonsense"], ["--cfg-options=nonsense"]),
        (["--resume"], ["--resume=auto"]),
        (["--resume", "--amp"], ["--resume=auto", "--amp=auto"]),
        (["--amp", "bf16", "c.py"], ["--amp=bf16", "c.py"]),
        (["--amp", "detection/c"], ["--amp=auto", "detection/c"]),
        (["--resume", "work/epoch_1.pth"], ["--resume=work/epoch_1.pth"]),
        (["c.py", "--seed", "1"], ["c.py", "--seed", "1"]),
    ],
)
def test_words_are_joined(given: list[str], meant: list[str]) -> None:
    assert normalise(given) == meant


# -- history --------------------------------------------------------------------------------------


def test_a_history_is_that_of_one_training(tmp_path: Path) -> None:
    runs = {
        "20260101_000000": [{"loss": 9.0, "lr": 0.1, "step": 50}, {"mIoU": 1.0, "step": 90}],
        "20260102_000000": [{"loss": 3.0, "lr": 0.1, "step": 1}, {"loss": 2.0, "lr": 0.1, "step": 2}],
        "20260103_000000": [{"loss": 1.0, "lr": 0.1, "step": 2}, {"mIoU": 5.0, "step": 2, "time": 1.0}],
    }
    for name, rows in runs.items():
        (tmp_path / name / "vis_data").mkdir(parents=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name / "vis_data" / "scalars.json").write_text(lines)
    history = read_history(tmp_path, "20260102_000000")
    assert history.losses == {1: 3.0, 2: 1.0}
    assert history.evaluations == {2: {"mIoU": 5.0}}
