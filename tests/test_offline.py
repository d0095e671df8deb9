"""Trainings without a network, and without the packages of the extra: what is said, and how to go without."""

from __future__ import annotations

import copy
import socket
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config, ConfigDict

from mmbackbones.cli import main, train
from mmbackbones.compose import configs
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.compose.pretrained import addresses, drop_pretrained
from mmbackbones.errors import InputError
from mmbackbones.weights.files import read_data
from mmbackbones.weights.named import without_weights

SMALL = ["--epochs", "1", "--img-scale", "64x64", "--batch-size", "2", "--device", "cpu", "--cfg-options"]
SMALL += ["train_dataloader.num_workers=0", "val_dataloader.num_workers=0"]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No connection, and no weights in any cache."""
    import huggingface_hub.constants

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConnectionRefusedError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


#: For the fixture ``shapes``.
SHAPES = dict(train=2, val=2)


def run(*words: object, code: int) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == code


@pytest.mark.parametrize(
    "address", ["torchvision://resnet18", "timm://resnet18.a1_in1k", "https://nowhere.invalid/resnet18.pth"]
)
@pytest.mark.usefixtures("offline")
def test_weights_out_of_reach_are_named(address: str) -> None:
    with pytest.raises(InputError, match=f"weights {address} cannot be fetched.*--no-pretrained"):
        read_data(address)


@pytest.mark.usefixtures("offline")
def test_training_says_which_weights_and_how_to_go_without(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of mmdet's own backbone; ours are read as above."""
    run(
        "train",
        "mmdet::faster-rcnn_r50_fpn_1x_coco",
        "--data",
        shapes,
        "--work-dir",
        tmp_path / "work",
        *SMALL,
        code=2,
    )
    said = capsys.readouterr().err
    assert "The weights torchvision://resnet50 cannot be fetched" in said
    assert "--no-pretrained" in said
    assert "--resume" not in said
    assert "file of the data" not in said


def test_the_command_hands_on_to_take_none(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Settings] = []
    monkeypatch.setattr(train, "run", lambda config, settings, *args, **kwargs: given.append(settings))
    run("train", "some.py", "--no-pretrained", code=0)
    run("train", "some.py", code=0)
    assert [settings.pretrained for settings in given] == [False, True]


@pytest.mark.parametrize(
    "name",
    ["detection/faster-rcnn_resnet50_fpn_1x_coco", "mmseg::deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024"],
)
def test_a_config_keeps_no_weights(name: str, shapes: Path, tmp_path: Path) -> None:
    cfg = configs.load_config(name)
    (had,) = addresses(cfg)
    notes = fit(cfg, Settings(data=shapes, pretrained=False), cache_dir=tmp_path)
    assert any(note.startswith(f"random weights in place of {had}") for note in notes)
    assert addresses(cfg) == []


def test_what_was_frozen_thaws_unless_load_from_fills_it() -> None:
    backbone = dict(
        frozen_stages=1,
        norm_eval=True,
        init_cfg=[dict(type="Pretrained", checkpoint="a"), dict(type="Xavier")],
    )
    cfg = Config(dict(model=dict(pretrained="open-mmlab://b", backbone=backbone)))
    assert drop_pretrained(cfg) == "random weights in place of open-mmlab://b, a, and nothing is frozen"
    thawed = dict(frozen_stages=-1, norm_eval=False, init_cfg=[dict(type="Xavier")])
    assert cfg.model.to_dict() == dict(backbone=thawed)
    assert "changes nothing" in drop_pretrained(cfg)
    filled = Config(dict(load_from="all.pth", model=dict(backbone=backbone)))
    drop_pretrained(filled)
    assert (filled.load_from, filled.model.backbone.frozen_stages) == ("all.pth", 1)


@pytest.mark.parametrize("lacking", ["mmdet", "mmcv"])
def test_the_extra_is_named_where_it_is_not_installed(
    lacking: str, shapes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A config of plain values, as a training leaves it, can be read without mmdet; it cannot be run."""
    path = tmp_path / "config.py"
    path.write_text("default_scope = 'mmdet'\nmodel = dict(type='FasterRCNN')\n")
    find = configs.find_spec
    monkeypatch.setattr(configs, "find_spec", lambda name: None if name == lacking else find(name))
    with pytest.raises(InputError, match=rf"{lacking} not installed: pip install 'mmbackbones\[mm\]'"):
        configs.load_config(str(path))


def test_a_config_goes_without_weights_at_any_depth() -> None:
    normal, loads = dict(type="Normal", std=0.01), dict(type="mmengine.Pretrained", checkpoint="a.pth")
    config = ConfigDict(
        backbone=dict(pretrained="b.pth", init_cfg=loads, depth=18),
        heads=[dict(init_cfg=[normal, loads]), dict(teacher_ckpt="c.pth", init_cfg=normal)],
    )
    before = copy.deepcopy(config)
    plain = without_weights(config)
    assert config == before
    assert isinstance(plain, ConfigDict)
    assert plain.backbone == dict(init_cfg=None, depth=18)
    assert plain["heads"] == [dict(init_cfg=[normal]), dict(init_cfg=[normal])]
