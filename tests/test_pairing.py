"""pair(): backbone and neck that fit, as plain values in a config."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS as ROOT
from mmengine.registry import init_default_scope

from mmbackbones import get_spec, pair
from mmbackbones.compose.configs import load_config
from mmbackbones.errors import InputError
from mmbackbones.registry import MODELS

BASE = """
model = dict(
    type='FasterRCNN',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[1.0, 2.0, 3.0], pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=50, norm_eval=True),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5,
              start_level=1),
    rpn_head=dict(type='RPNHead', in_channels=256))
"""


def test_default() -> None:
    pieces = pair("resnet50")
    assert pieces == {
        "backbone": {"type": "mmbackbones.resnet50"},
        "neck": {
            "type": "mmbackbones.FPN",
            "in_channels": [256, 512, 1024, 2048],
            "out_channels": 256,
            "num_outs": 5,
        },
        "data_preprocessor": {
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "bgr_to_rgb": True,
        },
    }


def test_a_net_without_stride_32_gives_what_it_has() -> None:
    pieces = pair("squeezenet1_1", out_channels=16)
    assert pieces["backbone"] == {"type": "mmbackbones.squeezenet1_1"}
    assert pieces["neck"]["in_channels"] == [128, 256, 512]
    maps = MODELS.build(pieces["neck"])(MODELS.build(pieces["backbone"])(torch.rand(1, 3, 128, 128)))
    assert [m.shape[-1] for m in maps] == [32, 16, 8, 4, 2]


def test_mean_and_std_are_those_of_the_weights() -> None:
    spec = get_spec("mobilenetv3_large_100")
    hints = pair(spec.name)["data_preprocessor"]
    assert hints["mean"] == pytest.approx([255 * v for v in spec.mean], abs=1e-3)
    assert hints["std"] == pytest.approx([255 * v for v in spec.std], abs=1e-3)
    assert "data_preprocessor" not in pair(spec.name, in_channels=4)


@pytest.mark.parametrize(
    "asked",
    [
        dict(init_cfg=dict(type="Pretrained", checkpoint="timm://vit_base_patch16_224.mae")),
        dict(init_cfg=[dict(type="Pretrained", checkpoint="timm://vit_base_patch16_224.dino")]),
        dict(pretrained="mae"),
        dict(pretrained=True, init_cfg=dict(type="Pretrained", checkpoint="timm://vit_base_patch16_224.mae")),
    ],
)
def test_mean_and_std_belong_to_the_weights_asked(asked: dict) -> None:
    assert pair("vit_base_patch16_224", **asked)["data_preprocessor"] == {
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "bgr_to_rgb": True,
    }
    with pytest.raises(InputError, match="Weights 'maee' are neither .* Tags: .* mae"):
        pair("vit_base_patch16_224", pretrained="maee")


def test_arguments_arrive() -> None:
    neck_cfg = dict(add_extra_convs="on_output", norm_cfg=dict(type="BN"))
    before = copy.deepcopy(neck_cfg)
    pieces = pair(
        "timm:resnet26", strides=(32, 8, 16), out_channels=64, num_outs=4, neck_cfg=neck_cfg, frozen_stages=1
    )
    assert pieces["backbone"] == {
        "type": "mmbackbones.Backbone",
        "name": "timm:resnet26",
        "out_strides": (8, 16, 32),
        "frozen_stages": 1,
    }
    assert pieces["neck"]["in_channels"] == [512, 1024, 2048]
    assert pieces["neck"]["add_extra_convs"] == "on_output"
    assert neck_cfg == before


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100", "timm:resnet26"])
def test_what_pair_gives_runs(name: str) -> None:
    pieces = pair(name, out_channels=32)
    backbone, neck = MODELS.build(pieces["backbone"]), MODELS.build(pieces["neck"])
    maps = neck(backbone(torch.rand(1, 3, 96, 64)))
    assert [tuple(m.shape) for m in maps] == [(1, 32, -(-96 // s), -(-64 // s)) for s in (4, 8, 16, 32, 64)]


@pytest.mark.parametrize(
    ("neck", "args", "filled", "sizes"),
    [
        ("PAFPN", {}, dict(num_outs=5), [(17, 19), (9, 10), (5, 5), (3, 3), (2, 2)]),
        ("BiFPN", {}, dict(num_outs=5), [(9, 10), (5, 5), (3, 3), (2, 2), (1, 1)]),
        ("BiFPN", dict(strides=(4, 8), num_outs=3), dict(num_outs=3), [(17, 19), (9, 10), (5, 5)]),
        (
            "SimpleFeaturePyramid",
            {},
            dict(in_stride=16, num_outs=5),
            [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2)],
        ),
        (
            "ToStrides",
            dict(strides=(4, 32)),
            dict(in_strides=(4, 32)),
            [(17, 19), (9, 10), (5, 5), (3, 3), (2, 2)],
        ),
        (
            "ToStrides",
            dict(output_stride=8, neck_cfg=dict(out_strides=(8, 16))),
            dict(in_strides=(4, 8, 8, 8), out_strides=(8, 16)),
            [(9, 10), (5, 5)],
        ),
    ],
)
def test_every_neck_is_filled_in(neck: str, args: dict, filled: dict, sizes: list[tuple[int, int]]) -> None:
    pieces = pair("resnet18", neck, out_channels=32, **args)
    config = dict(pieces["neck"])
    channels = config.pop("in_channels")
    assert config == dict(type=f"mmbackbones.{neck}", out_channels=32, **filled)
    backbone, built = MODELS.build(pieces["backbone"]), MODELS.build(pieces["neck"])
    assert tuple(channels) == backbone.out_channels
    maps = built.eval()(backbone.eval()(torch.rand(1, 3, 67, 75)))
    assert [tuple(m.shape) for m in maps] == [(1, 32, *size) for size in sizes]


def test_without_neck_or_with_another_scopes() -> None:
    assert "neck" not in pair("resnet18", neck=None)
    assert pair("resnet18", neck="mmdet.PAFPN")["neck"]["type"] == "mmdet.PAFPN"
    assert pair("resnet18", neck="mmbackbones.FPN") == pair("resnet18")


def test_replaces_the_base_in_a_config_file(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(BASE)
    config = tmp_path / "config.py"
    config.write_text(
        "_base_ = ['base.py']\nfrom mmbackbones import pair\n\n"
        "model = pair('convnext_tiny', strides=(8, 16, 32), frozen_stages=1)\n"
    )
    cfg = Config.fromfile(config)
    cfg.dump(tmp_path / "dumped.py")
    text = (tmp_path / "dumped.py").read_text()
    assert "import" not in text
    assert "_delete_" not in text
    model = runpy.run_path(str(tmp_path / "dumped.py"))["model"]  # Python itself reads plain values
    assert model["backbone"] == dict(
        type="mmbackbones.convnext_tiny", out_strides=(8, 16, 32), frozen_stages=1
    )
    assert model["neck"] == dict(
        type="mmbackbones.FPN", in_channels=[192, 384, 768], out_channels=256, num_outs=5
    )
    assert model["rpn_head"] == dict(type="RPNHead", in_channels=256)
    assert model["data_preprocessor"]["mean"] == [123.675, 116.28, 103.53]
    assert model["data_preprocessor"]["pad_size_divisor"] == 32
    assert Config.fromfile(tmp_path / "dumped.py").model == cfg.model


def test_stands_in_a_config_without_a_base(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    config = tmp_path / "config.py"
    config.write_text(
        "_base_ = ['empty.py']\nfrom mmbackbones import pair\n\nmodel = dict(type='X', **pair('resnet18'))\n"
    )
    model = Config.fromfile(config).model
    assert "_delete_" not in str(model)
    MODELS.build(model.neck)


def test_replaces_in_python() -> None:
    cfg = Config.fromstring(BASE, ".py")
    cfg.merge_from_dict(dict(model=pair("resnet18")))
    assert cfg.model.backbone == dict(type="mmbackbones.resnet18")
    assert "start_level" not in cfg.model.neck


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (dict(name="resnet5"), "resnet5.*resnet50"),
        (dict(name="resnet50", neck="FNP"), "Unknown neck 'FNP'. Nearest: FPN.*'mmdet.FNP'"),
        (dict(name="resnet50", neck="mmbackbones.YOLOXPAFPN"), "Unknown neck .*Nearest: PAFPN"),
        (dict(name="resnet50", neck="ToStrides", num_outs=4), r"num_outs=4: ToStrides has no .*out_strides="),
        (dict(name="resnet50", strides=(4, 64)), r"strides=\(4, 64\): 'resnet50' has maps at strides .*32\)"),
        (dict(name="resnet50", strides=()), "has maps at strides"),
        (dict(name="resnet50", out_indices=(0, 1), strides=(4, 8)), r"out_indices=\(0, 1\) and strides="),
        (dict(name="resnet50", out_indices=(0, 7)), r"out_indices=\(0, 7\): allowed are 0, 1, 2, 3"),
    ],
)
def test_bad_arguments(args: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pair(**args)


@pytest.mark.parametrize(
    ("base", "neck"),
    [
        ("dino/dino-4scale_r50_8xb2-12e_coco", "mmdet.ChannelMapper"),
        ("deformable_detr/deformable-detr_r50_16xb2-50e_coco", "mmdet.ChannelMapper"),
        ("yolox/yolox_tiny_8xb8-300e_coco", "mmdet.YOLOXPAFPN"),
        ("rtmdet/rtmdet_tiny_8xb32-300e_coco", "mmdet.CSPNeXtPAFPN"),
    ],
)
def test_a_neck_of_mmdet_keeps_what_its_base_says(base: str, neck: str) -> None:
    cfg = load_config(f"mmdet::{base}")
    before = dict(cfg.model.neck)
    pieces = pair("resnet18", neck=neck, out_indices=(1, 2, 3))
    assert pieces["backbone"]["out_strides"] == (8, 16, 32)
    cfg.merge_from_dict(dict(model=pieces))
    changed = {key for key, value in cfg.model.neck.items() if before.get(key) != value}
    assert changed == {"type", "in_channels"}
    init_default_scope(cfg.default_scope)
    model = ROOT.build(cfg.model).eval()
    with torch.no_grad():
        maps = model.extract_feat(torch.rand(1, 3, 64, 96))
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2)]
    width = before["out_channels"]
    assert [tuple(m.shape[1:]) for m in maps] == [(width, *s) for s in sizes[: before.get("num_outs", 3)]]
    cfg.merge_from_dict(dict(model=pair("resnet18", neck=neck, out_channels=32, num_outs=2)))
    assert (cfg.model.neck.out_channels, cfg.model.neck.num_outs) == (32, 2)


def test_a_base_of_mmseg_does_not_load_its_own_weights_into_ours(capsys: pytest.CaptureFixture[str]) -> None:
    cfg = load_config("mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024")
    pieces = pair("resnet18", neck=None, output_stride=8)
    pieces.update(decode_head=dict(in_channels=512), auxiliary_head=dict(in_channels=256))
    cfg.merge_from_dict(dict(model=pieces))
    assert cfg.model.pretrained.startswith("open-mmlab://")
    MMLogger.get_instance("base_of_mmseg")  # its console is the one that is read below
    init_default_scope(cfg.default_scope)
    model = ROOT.build(cfg.model).eval()
    assert [m.shape[-1] for m in model.backbone(torch.rand(1, 3, 64, 64))] == [16, 8, 8, 8]
    assert "resnet18 starts from its init_cfg" in "".join(capsys.readouterr())
