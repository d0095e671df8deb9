"""``swap`` with a second feature: a dilated backbone inside trackers and teachers, a base of inner maps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from typer.testing import CliRunner

from mmbackbones.cli import app
from mmbackbones.compose.swap import swapped

pytest.importorskip("mmdet", reason="mmdet comes with the extra mm")

INSIDE = {
    "tracker": "mmdet::deepsort/deepsort_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval",
    "teacher": "mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco",
}


@pytest.mark.parametrize("name", INSIDE.values(), ids=INSIDE)
@torch.no_grad()
def test_a_dilated_backbone_inside_another_model(name: str) -> None:
    """The FPN goes on getting the strides that its anchors are made for."""
    cfg, notes = swapped(name, "resnet18", pretrained=False, output_stride=16)
    init_default_scope(cfg.default_scope)
    parts = [MODELS.build(cfg.model.detector.backbone)]
    parts += [MODELS.build(neck) for neck in cfg.model.detector.neck]
    image = torch.rand(1, 3, 128, 64)
    assert parts[0](image)[-1].shape[2:] == (8, 4)
    maps = nn.Sequential(*parts).eval()(image)
    assert [tuple(fmap.shape[2:]) for fmap in maps] == [(32, 16), (16, 8), (8, 4), (4, 2), (2, 1)]
    assert "resnet18 in place of ResNet at detector." in notes
    assert "ToStrides: maps of strides [4, 8, 16, 16] become maps of strides [4, 8, 16, 32]." in notes


@torch.no_grad()
def test_the_command_swaps_a_backbone_of_inner_maps(tmp_path: Path) -> None:
    """torchvision's LR-ASPP reads a map inside a stage; another net gives it a stage's last."""
    pytest.importorskip("mmseg", reason="mmseg comes with the extra mm")
    base = "segmentation/lraspp-torchvision_mobilenetv3-large-d16_4xb4-40k_voc12aug-512x512"
    out = tmp_path / "my.py"
    command = ["swap", base, "--backbone", "resnet18", "--no-pretrained", "-o", str(out)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "resnet18 in place of torchvision:mobilenet_v3_large." in done.output
    assert "before=('features.5', None)" in " ".join(done.output.split())
    cfg = Config.fromfile(out)
    assert "before" not in cfg.model.backbone
    init_default_scope("mmseg")
    cfg.model.backbone.norm_cfg.type = "BN"
    cfg.model.decode_head.norm_cfg.type = "BN"
    backbone, head = (MODELS.build(cfg.model[part]).eval() for part in ("backbone", "decode_head"))
    maps = backbone(torch.rand(1, 3, 64, 96))
    assert [tuple(fmap.shape[1:]) for fmap in maps] == [(128, 8, 12), (512, 4, 6)]
    assert head(maps).shape == (1, cfg.model.decode_head.num_classes, 8, 12)
