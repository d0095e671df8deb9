"""swap(): what only one or two families of configs ask for."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config

import mmbackbones
from mmbackbones.compose.configs import load_config
from mmbackbones.compose.expects import build, expected
from mmbackbones.compose.pretrained import addresses
from mmbackbones.weights.named import without_weights

pytest.importorskip("mmdet")

STDC = "mmseg::stdc/stdc1_4xb12-80k_cityscapes-512x1024"
REID = dict(
    default_scope="mmdet",
    model=dict(
        type="BaseReID",
        data_preprocessor=dict(type="ReIDDataPreprocessor", mean=[1.0] * 3, std=[2.0] * 3, to_rgb=False),
        backbone=dict(type="ResNet", depth=50, out_indices=(3,)),
        neck=dict(type="GlobalAveragePooling", kernel_size=(8, 4), stride=1),
        head=dict(type="LinearReIDHead", in_channels=2048, fc_channels=1024, out_channels=128),
    ),
)


def test_stdc_keeps_its_context_path_around_another_backbone() -> None:
    """Its path reads C4 and C5, its fusion C3 too, and so does the head of details."""
    base = load_config(STDC)
    model = mmbackbones.swap(base, "resnet18", pretrained=False).model
    c3, c4, c5 = 128, 256, 512
    assert model.backbone.type == "STDCContextPathNet"
    assert model.backbone.backbone_cfg.type == "mmbackbones.resnet18"
    assert (model.backbone.last_in_channels, model.backbone.ffm_cfg.in_channels) == ((c5, c4), c3 + 128)
    assert [head.in_channels for head in model.auxiliary_head] == [128, 128, c3]
    assert model.decode_head == base.model.decode_head
    net = build(model, "mmseg", "cpu").eval()
    with torch.no_grad():
        maps = net.backbone(torch.randn(1, 3, 64, 96))
        shapes = [tuple(head(maps).shape[1:]) for head in net.auxiliary_head]
    assert [tuple(one.shape[1:]) for one in maps] == [(c3, 8, 12), (128, 4, 6), (128, 8, 12), (256, 8, 12)]
    assert shapes == [(19, 8, 12), (19, 4, 6), (2, 8, 12)]


def test_a_net_without_a_map_that_stdc_reads_is_refused() -> None:
    with pytest.raises(mmbackbones.InputError, match=r"STDCContextPathNet.* 8, 16, 32.*list --strides"):
        mmbackbones.swap(STDC, "squeezenet1_1", pretrained=False)


def test_a_person_reidentifier_pools_any_width_and_spells_rgb_its_own_way() -> None:
    model = mmbackbones.swap(Config(copy.deepcopy(REID)), "resnet18").model
    assert model.head.in_channels == 512
    assert model.neck == REID["model"]["neck"]
    assert model.data_preprocessor.to_rgb is True
    assert "bgr_to_rgb" not in model.data_preprocessor


def test_a_net_with_more_stages_than_its_class_is_read() -> None:
    backbone = dict(
        type="SwinTransformer",
        embed_dims=24,
        depths=[1] * 5,
        num_heads=[1] * 5,
        strides=(4, 2, 2, 2, 2),
        out_indices=(1, 2, 3, 4),
    )
    assert [level.stride for level in expected(backbone, "mmdet")] == [8, 16, 32, 64]


def test_batch_norms_that_mmcv_syncs_stay_synced() -> None:
    cfg = load_config("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco")
    cfg.model.backbone.norm_cfg = dict(type="MMSyncBN", requires_grad=True)
    made = mmbackbones.swap(cfg, "resnet18", pretrained=False).model
    assert made.backbone.norm_cfg == {"type": "SyncBN"}


def test_a_teachers_weights_are_weights_too() -> None:
    cfg = load_config("mmdet::lad/lad_r101-paa-r50_fpn_2xb8_coco_1x")
    assert cfg.model.teacher_ckpt in addresses(cfg)
    assert "teacher_ckpt" not in without_weights(cfg.model.to_dict())


def test_maps_of_deformable_convolutions_are_read_without_values() -> None:
    """Operators of mmcv run on the meta device, so no image goes through DyHead to learn its shapes."""
    neck = dict(type="DyHead", in_channels=16, out_channels=16, num_blocks=1, zero_init_offset=False)
    net = build(neck, "mmdet", "meta")
    with torch.device("meta"):
        maps = net((torch.zeros(1, 16, 16, 20), torch.zeros(1, 16, 8, 10)))
    assert [(one.device.type, *one.shape[2:]) for one in maps] == [("meta", 16, 20), ("meta", 8, 10)]
