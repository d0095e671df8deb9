"""``_base_ = ["mmbackbones::..."]``: shipped configs are inherited by name, in the siblings' tools too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from autoload import FIRST
from cases import SWEEP
from mmengine.config import Config

from mmbackbones.compose.configs import config_folder, load_config, walk
from mmbackbones.errors import InputError

CHILD = """
_base_ = ["mmbackbones::{name}"]
model = dict(backbone=dict(frozen_stages=2))
"""
ALIEN = """
import sys
{first}
from mmengine.config import Config
assert "mmbackbones.registry" not in sys.modules  # nothing of ours was asked for
import mmengine.runner, {package}  # as their tools do: it brings torch
assert Config.fromfile({new_style!r}).model.backbone.frozen_stages == 3
cfg = Config.fromfile({path!r})
print(cfg.model.type, cfg.model.backbone.type, cfg.default_scope, "'mmbackbones'" in str(cfg.model))
"""
#: A base that imports its parts, and a config over it that calls a function of ours.
PARTS = """
model = dict(
    type="mmdet.FCOS",
    backbone=dict(type="ResNet", depth=50, out_indices=(3,)),
    bbox_head=dict(in_channels=2048))
"""
NEW_STYLE = """
from mmbackbones import swap
from mmengine.config import read_base
with read_base():
    from .parts import *
model = swap(model, "resnet18", frozen_stages=3)
"""


@pytest.mark.parametrize(
    "name",
    [
        "detection/faster-rcnn_resnet50_fpn_1x_coco.py",  # upon mmdet's
        "detection/yolov4-tiny_cspdarknet53-tiny-scratch_1xb8-8e_coco-160x160.py",  # upon files of our _base_
        "segmentation/swiftnet_resnet18_1xb14-40k_cityscapes-768x768.py",  # whose model is our own
        "segmentation/deeplabv3plus_resnet18-scratch-d16_1xb8-8k_cityscapes-360x480",  # without .py
    ],
)
def test_a_child_is_its_base_and_what_it_says(name: str, tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(CHILD.format(name=name))
    child = Config.fromfile(tmp_path / "child.py")
    base = load_config(name.removesuffix(".py"))
    assert child.model.backbone.frozen_stages == 2
    base.model.backbone.frozen_stages = 2
    assert child.to_dict() == base.to_dict()  # no scope of another package either


@pytest.mark.parametrize(
    "name",
    ["mmdet::_base_/default_runtime.py", "mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"],
)
def test_names_of_the_siblings_are_found_without_their_metafiles(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As mmengine finds them, which takes half a second for each name, and on the released line alone."""
    monkeypatch.setattr("mmengine.config.utils.load", None)  # its reader of metafiles
    monkeypatch.setattr("mmengine.config.config.is_installed", None)  # asks for the released distributions
    (tmp_path / "child.py").write_text(f"_base_ = [{name!r}]\n")
    package, _, path = name.partition("::")
    found = Config.fromfile(tmp_path / "child.py").to_dict()
    scopes = {node.pop("_scope_") for _, node in walk(found) if "_scope_" in node}
    assert scopes == {package}
    assert found == Config.fromfile(config_folder(package) / path).to_dict()


def test_the_pieces_of_configs_are_found_too(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(
        '_base_ = ["mmbackbones::_base_/small_detection.py"]\nmax_epochs = 3\n'
    )
    assert Config.fromfile(tmp_path / "child.py").img_scale == (160, 160)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mmbackbones::detection/faster-rcnn_resnet5_fpn_1x_coco.py", "faster-rcnn_resnet50_fpn_1x_coco"),
        ("mmseg::fcn/fcn_r5-d8_4xb4-80k_ade20k-512x512.py", "fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, near: str, tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(f"_base_ = [{name!r}]")
    with pytest.raises(InputError, match=f"Nearest names: .*{near}"):
        Config.fromfile(tmp_path / "child.py")


#: A cold process for each: `make sweep` takes both.
ALIENS = [
    ("mmdet", "", "detection/ssdlite_regnetx-040_8xb24-600e_coco.py", "SingleStageDetector"),
    (
        "mmseg",
        "import torch",
        "segmentation/unetpp_resnet18-scratch_1xb8-8k_cityscapes-360x480.py",
        "EncoderDecoder",
    ),
]


@pytest.mark.parametrize(("package", "first", "name", "said"), ALIENS if SWEEP else ALIENS[:1])
def test_a_process_that_imports_only_the_siblings_reads_it_and_calls_our_functions(
    package: str, first: str, name: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "child.py"
    path.write_text(CHILD.format(name=name))
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "new_style.py").write_text(NEW_STYLE)
    code = ALIEN.format(
        first=FIRST + first, package=package, path=str(path), new_style=str(tmp_path / "new_style.py")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    backbone = f"mmbackbones.{name.split('_')[1].removesuffix('-scratch').replace('-', '_')}"
    assert done.stdout.splitlines()[-1].split() == [said, backbone, package, "False"]
