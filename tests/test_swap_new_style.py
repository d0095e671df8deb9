"""swap() and training with configs that import their parts: read_base, classes as types, module names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

import mmbackbones
from mmbackbones import InputError
from mmbackbones.cli import main
from mmbackbones.compose.class_names import with_names
from mmbackbones.compose.configs import load_config
from mmbackbones.data.shapes import write_shapes

pytest.importorskip("mmdet")

RUNTIME = """
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs, Resize
from mmdet.evaluation import CocoMetric
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import DefaultSampler
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop
from torch.optim import SGD

default_scope = None  # as mmdet's own say
pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=LoadAnnotations, with_bbox=True),
    dict(type=Resize, scale=(64, 64), keep_ratio=True),
    dict(type=PackDetInputs)]
loader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(type=CocoDataset, data_root="coco", pipeline=pipeline))
train_dataloader, val_dataloader, test_dataloader = loader, loader, loader
val_evaluator = dict(type=CocoMetric, metric="bbox")
test_evaluator = val_evaluator
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=1)
val_cfg, test_cfg = dict(type=ValLoop), dict(type=TestLoop)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.01))
"""
FCOS = """
from mmcv.ops import nms
from mmengine.config import read_base
from mmdet.models import FCOS, FPN, DetDataPreprocessor, FCOSHead, ResNet
from mmdet.models.losses.iou_loss import IoULoss

with read_base():
    from ..runtime import *

model = dict(
    type=FCOS,
    data_preprocessor=dict(type=DetDataPreprocessor, mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0]),
    backbone=dict(type=ResNet, depth=18, frozen_stages=1),
    neck=dict(type=FPN, in_channels=[64, 128, 256, 512], out_channels=8, num_outs=5),
    bbox_head=dict(
        type=FCOSHead, num_classes=80, in_channels=8, feat_channels=8, norm_cfg=None,
        loss_bbox=dict(type=IoULoss, loss_weight=1.0)),
    test_cfg=dict(
        nms_pre=100, score_thr=0.05, nms=dict(type=nms, iou_threshold=0.5), max_per_img=10))
"""
NAME = "siblings_of_mmdet.configs.fcos.fcos_r18"
SWAPPED = f"""
from mmbackbones import swap
from mmengine.config import read_base

with read_base():
    from {NAME} import *

model = swap(model, "timm:resnet10t", pretrained=False, frozen_stages=0)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with such configs on the path, as mmdet's sources have them in ``mmdet.configs``."""
    folder = tmp_path / "siblings_of_mmdet"
    (folder / "configs/fcos").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "configs/runtime.py").write_text(RUNTIME)
    (folder / "configs/fcos/fcos_r18.py").write_text(FCOS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == folder.name]:
        del sys.modules[name]  # whose files are gone


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_a_module_is_a_name_of_a_config(package: Path) -> None:
    by_name = mmbackbones.swap(NAME, "resnet50", pretrained=False)
    file = package / "siblings_of_mmdet/configs/fcos/fcos_r18.py"
    assert by_name.model == mmbackbones.swap(file, "resnet50", pretrained=False).model
    assert by_name.model.neck.in_channels == [256, 512, 1024, 2048]
    path = package / "my.py"
    assert run("swap", NAME, "--backbone", "resnet50", "--no-pretrained", "-o", path) == 0
    written = Config.fromfile(path)
    assert written.model == by_name.model
    assert written.default_scope == "mmdet"
    with MODELS.switch_scope_and_registry("mmdet") as registry, torch.device("meta"):
        maps = registry.build(written.model.backbone)(torch.zeros(1, 3, 64, 64))
        assert [one.shape[1] for one in registry.build(written.model.neck)(maps)] == [8] * 5
    with pytest.raises(InputError, match="There is no config file or name 'siblings_of_mmdet.configs.fcos"):
        load_config(f"{NAME}8")
    with pytest.raises(InputError, match="There is no config file or name 'no_such_package.configs.x'"):
        load_config("no_such_package.configs.x")
    said = r"not in its wheel. Clone it and give the file, or take one of mmdet::detr/detr_r50_8xb2-150e_coco"
    with pytest.raises(InputError, match=said):
        load_config("mmdet.configs.detr.detr_r50_8xb2_150e_coco")


def test_types_may_be_classes() -> None:
    from mmdet.models import FCOS, FPN, FCOSHead, ResNet

    model = dict(type=FCOS, backbone=dict(type=ResNet, depth=18))
    model["neck"] = dict(type=FPN, in_channels=[64, 128, 256, 512], out_channels=8, num_outs=5)
    model["bbox_head"] = dict(type=FCOSHead, num_classes=3, in_channels=8)
    cfg = mmbackbones.swap(Config(dict(model=model)), "resnet50", pretrained=False)
    assert cfg.model.neck.in_channels == [256, 512, 1024, 2048]
    assert cfg.model.neck.type == "mmdet.models.necks.fpn.FPN"
    assert mmbackbones.swap(model, "resnet50", pretrained=False) == cfg.model  # the model alone
    assert model["backbone"] == dict(type=ResNet, depth=18)
    with MODELS.switch_scope_and_registry("mmdet") as registry, torch.device("meta"):
        assert isinstance(registry.build(cfg.model), FCOS)


def test_the_names_of_classes_are_found_again() -> None:
    """Also where a function has the name of its file, and where a name is looked up in no registry."""
    from mmcv.ops import DeformConv2dPack, RoIAlign, nms
    from mmcv.ops.carafe import CARAFEPack
    from mmdet.models.losses import SmoothL1Loss
    from torch.nn import BatchNorm2d

    given: dict[type, str] = {
        SmoothL1Loss: "mmdet.SmoothL1Loss",
        CARAFEPack: "mmengine.carafe",
        DeformConv2dPack: "mmcv.ops.deform_conv.DeformConv2dPack",
        BatchNorm2d: "torch.nn.modules.batchnorm.BatchNorm2d",
    }
    for one, name in given.items():
        assert with_names([{"type": one}]) == [{"type": name}]
        assert with_names({"type": f"{one.__module__}.{one.__name__}"}) == {"type": name}
        assert MODELS.get(name) is one
    assert [with_names(one) for one in (RoIAlign, nms)] == ["RoIAlign", "nms"]
    for name in ("no_such_package.some.Thing", "mmdet.models.losses.Thing", "mmdet.ResNet", "nms"):
        assert with_names({"type": name}) == {"type": name}


def test_swap_inside_such_a_config_trains(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_shapes(package / "shapes", train=2, val=1, size=(64, 64))
    path, work = package / "my.py", package / "work"
    path.write_text(SWAPPED)
    backbone = {"type": "mmbackbones.Backbone", "name": "timm:resnet10t", "frozen_stages": 0}
    assert Config.fromfile(path).model.backbone == backbone
    train = ["--work-dir", work, "--batch-size", 2, "--epochs", 1, "--device", "cpu", "--seed", 0]
    assert run("train", path, "--data", data, *train) in (0, 1)  # 1: two images teach nothing, which is said
    assert (work / "last.pth").is_file()


@pytest.mark.parametrize(
    "spelling", ["import mmbackbones", "from mmbackbones.compose import swap as mmbackbones"]
)
def test_a_function_of_ours_is_called_by_its_module_too(package: Path, spelling: str) -> None:
    path = package / "my.py"
    text = SWAPPED.replace("from mmbackbones import swap", spelling).replace("= swap(", "= mmbackbones.swap(")
    path.write_text(text)
    assert load_config(str(path)).model.backbone.name == "timm:resnet10t"


def test_what_is_not_ours_cannot_be_called(package: Path) -> None:
    path = package / "my.py"
    for line in (
        "from mmdet.models import FCOS",
        "from mmbackbones.necks import BiFPN as FCOS",
    ):  # no function
        path.write_text(f"{line}\n{SWAPPED}\nneck = FCOS()")
        with pytest.raises(InputError, match=r"cannot be called, but for functions of mmbackbones"):
            load_config(str(path))
