"""Checkpoints of OpenMMLab at the doors of the command: those of another network are refused, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import BASES, MODEL, config, refused
from torch import Tensor, nn

from mmbackbones.data.shapes import CLASSES

pytest.importorskip("mmdet", reason="mmdet comes with the extra mm")

#: For the fixture ``shapes``.
SHAPES = dict(train=2, val=1)


def theirs(**arguments: Any) -> dict[str, Tensor]:
    """Weights of mmdet's MobileNetV2, without values."""
    from mmdet.models.backbones import MobileNetV2

    return blank(MobileNetV2(**arguments))


def blank(net: nn.Module) -> dict[str, Tensor]:
    """A state dict whose tensors share one number each, so that a file of it is small."""
    return {
        name: torch.zeros((), dtype=value.dtype).expand(value.shape)
        for name, value in net.state_dict().items()
    }


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A config with mobilenetv2_035 (``here``), and files of detectors of OpenMMLab."""
    from mmdet.models.backbones import RegNet
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    folder = tmp_path_factory.mktemp("zoo")
    widths = [16, 16, 32, 112]
    neck = dict(MODEL["neck"], in_channels=widths)
    backbone = dict(type="mmbackbones.mobilenetv2_035")
    files = {"here": config(folder / "here.py", BASES, **{**MODEL, "backbone": backbone, "neck": neck})}
    with torch.device("meta"):
        states = {
            "regnet": blank(RegNet("regnetx_400mf")),
            "wider": theirs(widen_factor=0.5, out_indices=(1, 2, 4, 6)),
            "same": theirs(widen_factor=0.35, out_indices=(1, 2, 4, 6)),
        }
    heads = {}
    for classes in (3, 80):
        head = {**MODEL["bbox_head"], "num_classes": classes}
        model = MODELS.build(dict(MODEL, neck=neck, backbone=backbone, bbox_head=head))
        heads[classes] = {k: v for k, v in model.state_dict().items() if not k.startswith("backbone.")}
    for name, classes in (("regnet", 3), ("wider", 3), ("same", 3), ("same", 80)):
        state = {f"backbone.{key}": value for key, value in states[name].items()} | heads[classes]
        files[f"{name}{classes}"] = folder / f"{name}{classes}.pth"
        torch.save(dict(meta={}, state_dict=state), files[f"{name}{classes}"])
    return files


#: How a checkpoint comes in by each command: the words, with the config and the file.
DOORS: dict[str, Callable[[Path, Path, Path, Path], list[object]]] = {
    "test": lambda cfg, file, data, _: ["test", cfg, file, "--data", data, "--device", "cpu"],
    "predict": lambda cfg, file, data, _: ["predict", cfg, file, data / "images/val", "--device", "cpu"],
    "load_from": lambda cfg, file, data, work: [
        *("train", cfg, "--data", data, "--device", "cpu", "--work-dir", work / "w", "--epochs", 1),
        *("--cfg-options", f"load_from={file}"),
    ],
    "init_cfg": lambda cfg, file, data, work: [
        *("train", cfg, "--data", data, "--device", "cpu", "--work-dir", work / "w", "--epochs", 1),
        *("--cfg-options", "model.backbone.init_cfg.type=Pretrained"),
        f"model.backbone.init_cfg.checkpoint={file}",
    ],
}


@pytest.mark.parametrize(
    ("file", "door"),
    [("wider3", "test"), ("regnet3", "predict"), ("regnet3", "load_from"), ("wider3", "init_cfg")],
)
def test_a_checkpoint_of_another_network(
    file: str, door: str, zoo: dict[str, Path], shapes: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, *DOORS[door](zoo["here"], zoo[file], shapes, tmp_path))
    assert str(zoo[file]) in said
    layer = {"regnet3": "conv1.weight (32x3x3x3)", "wider3": "layer3.1.linear_conv.conv.weight (16x96)"}[file]
    assert f"only the file has {layer} and " in said
    assert "mobilenetv2_035 and the network of the file differ: the file lacks " in said
    assert "Name the backbone that the file is of" in said or "Name that backbone in the config" in said
    assert not list(tmp_path.rglob("*.pth"))


@pytest.mark.parametrize("door", ["test", "predict"])
def test_a_checkpoint_with_other_classes_is_not_tested(
    door: str, zoo: dict[str, Path], shapes: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, *DOORS[door](zoo["here"], zoo["same80"], shapes, tmp_path))
    classes = len(CLASSES) if door == "test" else 3  # the data's, or the config's
    assert f"bbox_head.retina_cls.weight (720, 8, 3, 3) instead of ({9 * classes}, 8, 3, 3)" in said
    assert "of another model than the config" in said
    assert (
        f"as many classes as it has, or train from it, which leaves its head out: `mmbackbones train` with "
        f"--cfg-options load_from={zoo['same80']}" in said
    )


def test_a_published_file_has_no_config_beside_it(
    zoo: dict[str, Path], shapes: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    """So it is said how its config is called; beside a training's file lies config.py."""
    monkeypatch.chdir(tmp_path)
    two_stages = tmp_path / "faster_rcnn_r50_fpn_1x_coco_20200130_204655-047c8118.pth"
    state = torch.load(zoo["same3"])["state_dict"]
    torch.save({"state_dict": state | {"rpn_head.rpn_cls.bias": torch.zeros(3)}}, two_stages)
    words = ["predict", zoo["here"], two_stages, shapes / "images/val", "--device", "cpu"]
    assert "is of mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco, as it is or swapped" in refused(
        capsys, *words
    )
    (tmp_path / "config.py").write_text("")
    assert "Use the config.py beside the checkpoint." in refused(capsys, *words)


@pytest.mark.parametrize("classes", [3, 80])
def test_a_training_does_not_go_on_from_it(
    classes: int, zoo: dict[str, Path], shapes: Path, tmp_path: Path, capsys
) -> None:
    file = zoo[f"same{classes}"]
    words = ["--work-dir", tmp_path, "--device", "cpu", "--resume", file]
    said = refused(capsys, "train", zoo["here"], "--data", shapes, *words)
    assert f"{file} has OpenMMLab's names for the weights of this model" in said
    assert f"Start anew from it with --cfg-options load_from={file}" in said


@pytest.mark.parametrize("command", ["test", "predict", "export", "freeze-report", "train"])
def test_a_model_that_cannot_be_built(
    command: str, zoo: dict[str, Path], shapes: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = zoo["here"].with_name("broken.py")
    cfg.write_text(zoo["here"].read_text().replace("'num_outs': 5", "'num_outs': 1"))
    rest = {
        "test": [zoo["same3"], "--data", shapes],
        "predict": [zoo["same3"], shapes / "images/val"],
        "export": [zoo["same3"]],
        "train": ["--data", shapes, "--device", "cpu"],
    }
    said = refused(capsys, command, cfg, *rest.get(command, []))
    assert "The config cannot be built: fpn demands: assert num_outs" in said
