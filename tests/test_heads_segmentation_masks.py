"""Mask2Former, whose attention the meta device cannot follow, predicts at odd image sizes."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmbackbones import pair
from mmbackbones.compose.configs import load_config


def tiny(name: str, head: str) -> nn.Module:
    """The model of a config around a small backbone, with few queries and layers."""
    cfg = load_config(name)
    init_default_scope(cfg.default_scope)
    cfg.model.backbone = pair("resnet18", neck=None)["backbone"]
    part = cfg.model[head]
    part.update(in_channels=[64, 128, 256, 512], num_queries=7)
    part.pixel_decoder.encoder.num_layers = part.transformer_decoder.num_layers = 1
    return MODELS.build(cfg.model).eval()


@pytest.mark.parametrize("size", [(97, 131), (64, 65), (131, 40)])
def test_labels_of_odd_images(size: tuple[int, int]) -> None:
    net = tiny("segmentation/mask2former_resnet50_8xb2-160k_ade20k-512x512", "decode_head")
    for found in net.predict(torch.randn(2, 3, *size)):
        assert found.pred_sem_seg.shape == size
        assert found.seg_logits.shape == size
        assert torch.isfinite(found.seg_logits.data).all()
        assert found.pred_sem_seg.data.min() >= 0
        assert found.pred_sem_seg.data.max() < 150


@pytest.mark.parametrize("sizes", [[(97, 131)], [(97, 131), (131, 40)]])
def test_masks_of_odd_images(sizes: list[tuple[int, int]]) -> None:
    """Images of one batch differ in size; what fills them up is in no mask."""
    from mmdet.structures import DetDataSample

    net = tiny("segmentation/mask2former-instance_resnet50_8xb2-lsj-50e_coco", "panoptic_head")
    net.test_cfg.max_per_image = 5
    data = dict(inputs=[torch.randint(256, (3, *size), dtype=torch.uint8) for size in sizes], data_samples=[])
    for size in sizes:
        meta = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
        data["data_samples"].append(DetDataSample(metainfo=meta))
    for found, size in zip(net.test_step(data), sizes, strict=True):
        masks, boxes = found.pred_instances.masks, found.pred_instances.bboxes
        assert masks.shape == (5, *size)
        assert masks.any()
        high, wide = size
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([wide, high, wide, high])).all()
