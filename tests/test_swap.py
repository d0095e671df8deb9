"""swap(): another backbone in any config; what is decided, what is refused."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

import mmbackbones
from mmbackbones.cli import main
from mmbackbones.compose.configs import find_config, load_config
from mmbackbones.compose.swap import swapped
from mmbackbones.compose.unswappable import UNSWAPPABLE
from mmbackbones.data.shapes import CLASSES, write_shapes
from mmbackbones.errors import InputError

FASTER = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco"
DEEPLAB = "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024"
DINO = "mmdet::dino/dino-4scale_r50_8xb2-12e_coco"


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_only_what_must_change_changes() -> None:
    base = load_config(FASTER)
    before = copy.deepcopy(base.to_dict())
    cfg = mmbackbones.swap(base, "resnet18", pretrained=False)
    assert base.to_dict() == before
    model, old = cfg.model.to_dict(), before["model"]
    assert model["backbone"] == {"type": "mmbackbones.resnet18"}
    assert model["neck"] == {**old["neck"], "in_channels": [64, 128, 256, 512]}
    assert model["data_preprocessor"] == {**old["data_preprocessor"], "bgr_to_rgb": True}
    for one in (model, old):
        del one["backbone"], one["neck"], one["data_preprocessor"]
    assert model == old
    rest = {key: value for key, value in cfg.to_dict().items() if key != "model"}
    assert rest == {key: value for key, value in before.items() if key != "model"}


def test_a_config_says_it_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text(
        '_base_ = ["mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py"]\n'
        "from mmbackbones import swap\n"
        'model = swap(_base_, "convnext_tiny", frozen_stages=1)\n'
    )
    model = Config.fromfile(path).model
    assert model.backbone.type == "mmbackbones.convnext_tiny"
    assert (model.backbone.frozen_stages, model.backbone.output_stride) == (1, 8)
    assert "depth" not in model.backbone
    assert (model.decode_head.in_channels, model.decode_head.c1_in_channels) == (768, 96)
    assert model.auxiliary_head.in_channels == 384


NEW_STYLE = """
from mmengine.config import read_base
from mmdet.models import FPN, RPN, DetDataPreprocessor, ResNet, RPNHead

with read_base():
    from .runtime import *

model = dict(
    type=RPN,
    data_preprocessor=dict(type=DetDataPreprocessor, mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0]),
    backbone=dict(type=ResNet, depth=18, frozen_stages=1),
    neck=dict(type=FPN, in_channels=[64, 128, 256, 512], out_channels=8, num_outs=5),
    rpn_head=dict(type=RPNHead, in_channels=8, feat_channels=8))
"""


def test_new_style_configs(tmp_path: Path) -> None:
    (tmp_path / "runtime.py").write_text('default_scope = "mmdet"\n')
    file, path = tmp_path / "new_style.py", tmp_path / "my.py"
    file.write_text(NEW_STYLE)
    by_file = mmbackbones.swap(file, "resnet50", pretrained=False).model
    by_config = mmbackbones.swap(Config.fromfile(file), "resnet50", pretrained=False).model
    assert by_file == by_config
    assert by_file.neck.in_channels == [256, 512, 1024, 2048]
    assert run("swap", file, "--backbone", "resnet50", "--no-pretrained", "-o", path) == 0
    written = Config.fromfile(path)
    assert written.model.backbone == {"type": "mmbackbones.resnet50"}
    with MODELS.switch_scope_and_registry("mmdet") as registry, torch.device("meta"):
        maps = registry.build(written.model.backbone)(torch.zeros(1, 3, 64, 64))
        assert [one.shape[1] for one in registry.build(written.model.neck)(maps)] == [8] * 5


def test_the_command_says_each_decision(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "my.py"
    assert run("swap", DINO, "--backbone", "swin_tiny_patch4_window7_224", "-o", path) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "swin_tiny_patch4_window7_224 in place of ResNet",
        "It starts from timm://swin_tiny_patch4_window7_224",
        "LevelNorm",
        "in_channels [512, 1024, 2048] became [192, 384, 768]",
        "Gone with ResNet: frozen_stages=1",
        "Images: mean [123.675, 116.28, 103.53]",
    ):
        assert part in shown
    text = path.read_text()
    assert "# swin_tiny_patch4_window7_224 in place of ResNet." in text
    model = Config.fromfile(path).model
    assert [neck.type for neck in model.neck] == ["mmbackbones.LevelNorm", "ChannelMapper"]
    assert run("swap", DINO, "--backbone", "resnet18", "-o", path) == 2
    assert "exists" in capsys.readouterr().err


def test_optimiser_by_kind_of_net() -> None:
    assert mmbackbones.swap(FASTER, "mobilenetv2_100").optim_wrapper.optimizer.type == "SGD"
    convnext = mmbackbones.swap(FASTER, "convnext_tiny").optim_wrapper
    assert convnext.optimizer.type == "AdamW"
    assert convnext.constructor == "mmbackbones.LayerDecayOptimWrapperConstructor"
    dino, base = (cfg.optim_wrapper for cfg in (mmbackbones.swap(DINO, "convnext_tiny"), load_config(DINO)))
    assert dino.optimizer == base.optimizer
    rates = base.paramwise_cfg.custom_keys  # has one of its own for the backbone, so none falls
    assert dino.paramwise_cfg == {"decay_rate": 1.0, "by": "layer", "custom_keys": rates}
    scratch = mmbackbones.swap(DINO, "convnext_tiny", pretrained=False).optim_wrapper
    assert scratch.paramwise_cfg.custom_keys == {}
    frozen = mmbackbones.swap(FASTER, "convnext_tiny", frozen_stages=4).optim_wrapper
    assert (frozen.optimizer.type, frozen.get("constructor")) == ("AdamW", None)
    swin = "mmdet::mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco"
    keys = mmbackbones.swap(swin, "resnet18").optim_wrapper.paramwise_cfg.custom_keys
    assert {"backbone", "query_embed", "query_feat", "level_embed"} <= set(keys)
    assert not [key for key in keys if key.startswith("backbone.") or "bias_table" in key]
    upernet = "mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512"
    scratch = mmbackbones.swap(upernet, "swin_tiny", pretrained=False).optim_wrapper
    assert scratch.paramwise_cfg == load_config(upernet).optim_wrapper.paramwise_cfg  # no decay of tables


def test_statistics_are_kept_where_the_bases_class_keeps_them_unsaid() -> None:
    """mmdet's ResNet has ``norm_eval=True`` by itself, mmseg's has not; random weights need their own."""
    base = load_config(FASTER)
    del base.model.backbone.norm_eval
    assert mmbackbones.swap(base, "mobilenetv2_100").model.backbone.norm_eval is True
    assert "norm_eval" not in mmbackbones.swap(base, "mobilenetv2_100", pretrained=False).model.backbone
    base.default_scope = "mmseg"
    base.model = dict(
        type="mmseg.EncoderDecoder",
        backbone=base.model.backbone,
        decode_head=dict(in_channels=2048, in_index=3),
    )
    assert "norm_eval" not in mmbackbones.swap(base, "mobilenetv2_100").model.backbone


def test_mean_and_std_are_those_of_the_weights() -> None:
    yolox = mmbackbones.swap("mmdet::yolox/yolox_s_8xb8-300e_coco", "resnet50").model.data_preprocessor
    assert (yolox.mean, yolox.bgr_to_rgb) == ([123.675, 116.28, 103.53], True)
    assert yolox.batch_augments
    semi = "mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco"
    model = mmbackbones.swap(semi, "vit_small_patch16_224").model
    inner = model.data_preprocessor.data_preprocessor
    assert inner.mean == model.detector.data_preprocessor.mean == [127.5, 127.5, 127.5]
    assert "mean" not in model.data_preprocessor
    assert model.detector.backbone.type == "mmbackbones.vit_small_patch16_224"


def test_norm_eval_and_sync_bn_stay_where_there_are_batch_norms() -> None:
    assert mmbackbones.swap(FASTER, "resnet18").model.backbone.norm_eval is True
    assert "norm_eval" not in mmbackbones.swap(FASTER, "resnet18", pretrained=False).model.backbone
    assert mmbackbones.swap(DEEPLAB, "resnet18").model.backbone.norm_cfg == {"type": "SyncBN"}
    assert "norm_cfg" not in mmbackbones.swap(DEEPLAB, "convnext_atto").model.backbone
    assert mmbackbones.swap(FASTER, "resnet18", norm_eval=False).model.backbone.norm_eval is False


def test_a_tracker_keeps_its_other_backbone_and_says_all() -> None:
    name = "mmdet::deepsort/deepsort_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval"
    cfg, notes = swapped(name, "resnet18")
    assert cfg.model.detector.backbone.type == "mmbackbones.resnet18"
    assert cfg.model.reid == load_config(name).model.reid
    with pytest.raises(InputError, match=r"at='tracker'.*'detector' \(ResNet\), 'reid' \(ResNet\)"):
        swapped(name, "resnet18", at="tracker")
    assert any("init_cfg" in note and "dropped" in note for note in notes)


BASE = dict(
    default_scope="mmdet",
    model=dict(
        type="FCOS",
        backbone=dict(type="ResNet", depth=18),
        neck=dict(type="FPN", in_channels=[64, 128, 256, 512], out_channels=8, num_outs=5),
        bbox_head=dict(type="FCOSHead", num_classes=3, in_channels=8),
    ),
)


def changed(**places: object) -> Config:
    cfg = Config(copy.deepcopy(BASE))
    cfg.merge_from_dict({f"model.{key}": value for key, value in places.items()})
    return cfg


@pytest.mark.parametrize(
    ("base", "name", "args", "message"),
    [
        ("mmdet::dino/dino-4scale_r50_8xb2-12e_cocoo", "resnet18", {}, "dino-4scale_r50_8xb2-12e_coco"),
        (FASTER, "convnext_tinny", {}, "convnext_tiny"),
        (Config(dict(default_scope="mmdet", model=dict(type="FCOS"))), "resnet18", {}, "no `backbone"),
        (
            Config(dict(default_scope="mmdet", model=dict(type="X", a=BASE["model"], b=BASE["model"]))),
            "resnet18",
            {},
            r"'a' \(ResNet\), 'b' \(ResNet\).*--at",
        ),
        (Config(copy.deepcopy(BASE)), "lenet5", {}, "needs one at stride 32.*mmbackbones list --strides"),
        (
            changed(neck=dict(type="FPN", in_channels=[64, 128, 256, 500], out_channels=8, num_outs=5)),
            "resnet50",
            {},
            r"neck.in_channels of FPN=\[64, 128, 256, 500\].*\[64, 128, 256, 512\]",
        ),
        (changed(backbone=dict(type="nosuchpackage.Net")), "resnet18", {}, r"pip install nosuchpackage\.$"),
        (FASTER, "resnet18", dict(out_indices=(1, 2)), "takes no out_indices"),
        (FASTER, "resnet18", dict(weights="a1_in1k", pretrained=False), "contradict"),
        (FASTER, "resnet18", dict(weights="nonsense"), "nonsense"),
        (FASTER, "resnet18", dict(frozen=1), "no argument 'frozen'. Did you mean 'frozen_stages'"),
        (FASTER, "resnet18", dict(spec="resnet50"), "no argument 'spec'"),
        (FASTER, "resnet18", dict(frozen_stages=7), "frozen_stages=7 is out of range"),
        (FASTER, "resnet18", dict(norm_cfg=dict(type="XX")), "norm_cfg type 'XX' is unknown"),
        (FASTER, "swin_tiny", dict(output_stride=16), "cannot be dilated"),
        (FASTER, "resnet18", dict(at="reid"), r"Backbones: the model's own \(ResNet\), without at="),
    ],
)
def test_bad_input(base: object, name: str, args: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        mmbackbones.swap(base, name, **args)  # type: ignore[arg-type]


def test_a_head_of_fixed_width_is_named() -> None:
    cfg = Config(copy.deepcopy(BASE))
    del cfg.model.neck
    cfg.model.bbox_head = dict(type="FCOSHead", num_classes=3)
    with pytest.raises(InputError, match=r"bbox_head \(FCOSHead\).*in_channels"):
        mmbackbones.swap(cfg, "resnet50")
    cfg.model.bbox_head.in_channels = 77
    with pytest.raises(InputError, match=r"bbox_head.in_channels=77.*\[64, 128, 256, 512\]"):
        mmbackbones.swap(cfg, "resnet50")


@pytest.mark.parametrize("kind", UNSWAPPABLE)
def test_what_cannot_work_is_refused_before_anything_is_built(kind: str, monkeypatch) -> None:
    monkeypatch.setattr("mmbackbones.compose.expects.build", None)  # would fail
    cfg = Config(dict(default_scope="mmseg", model=dict(type="EncoderDecoder", backbone=dict(type=kind))))
    why, instead = UNSWAPPABLE[kind]
    with pytest.raises(InputError) as error:
        mmbackbones.swap(cfg, "resnet18")
    assert kind in str(error.value)
    assert why in str(error.value)
    assert find_config(instead).is_file()


def test_fits_the_config_to_data_and_trains(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = write_shapes(tmp_path / "shapes", train=2, val=1, size=(64, 64))
    path, work = tmp_path / "my.py", tmp_path / "work"
    base = "mmdet::retinanet/retinanet_r18_fpn_1x_coco"
    words = ["--backbone", "timm:resnet10t", "--no-pretrained", "--data", data, "--img-scale", "64x64"]
    assert run("swap", base, *words, "-o", path) == 0
    cfg = Config.fromfile(path)
    assert cfg.model.bbox_head.num_classes == len(CLASSES)
    assert "timm:resnet10t in place of ResNet" in " ".join(capsys.readouterr().out.split())
    train = ["--work-dir", work, "--epochs", 1, "--batch-size", 2, "--device", "cpu", "--seed", 0]
    assert run("train", path, *train) in (0, 1)  # 1: two images teach nothing, which is said
    assert (work / "last.pth").is_file()


def test_dilations_within_a_stage_go_and_that_is_said() -> None:
    base = "mmseg::deeplabv3plus/deeplabv3plus_r101-d16-mg124_4xb2-40k_cityscapes-512x1024"
    assert any("multi_grid=(1, 2, 4)" in note for note in swapped(load_config(base), "resnet18")[1])


def test_dilations_beside_strides_go_and_that_is_said() -> None:
    """FastFCN's stages have both; dilations in place of strides are the new net's ``output_stride``."""
    fastfcn = "mmseg::fastfcn/fastfcn_r50-d32_jpu_psp_4xb2-80k_cityscapes-512x1024"
    assert any("dilations=(1, 1, 2, 4)" in note for note in swapped(load_config(fastfcn), "resnet18")[1])
    dilated = "mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024"
    assert not any("dilations" in note for note in swapped(load_config(dilated), "resnet18")[1])
