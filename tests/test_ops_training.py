"""A detector whose step runs through deformable convolution, CARAFE, RoIAlign, NMS and mask targets."""

from __future__ import annotations

import pytest
import torch

import mmbackbones  # noqa: F401 (offers mmcv._ext)

pytest.importorskip("mmdet", reason="the extra mmbackbones[mm] is not installed")


def test_mask_rcnn_with_deformable_convolution_and_carafe_trains_and_predicts() -> None:
    from mmdet.registry import MODELS
    from mmdet.testing import demo_mm_inputs
    from mmengine.hub import get_config
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    import mmdet.models  # noqa: F401

    config = get_config("mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py").model
    config.backbone.update(
        init_cfg=None,
        frozen_stages=-1,
        dcn={"type": "DCNv2", "deform_groups": 1, "fallback_on_stride": False},
        stage_with_dcn=(False, True, False, False),
    )
    config.neck.type = "FPN_CARAFE"
    config.train_cfg.rcnn.sampler.num = 32
    config.train_cfg.rpn_proposal.max_per_img = config.test_cfg.rpn.max_per_img = 50
    model = MODELS.build(config)
    packed = demo_mm_inputs(2, [[3, 64, 96], [3, 64, 80]], with_mask=True)
    model.train()
    losses = model(**model.data_preprocessor(packed, True), mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert total.isfinite()
    assert missing == []
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert model.backbone.layer2[0].conv2.conv_offset.weight.grad.abs().sum() > 0
    model.eval()
    with torch.no_grad():
        found = model.test_step(demo_mm_inputs(1, [[3, 64, 96]]))
    assert found[0].pred_instances.masks.shape[1:] == (64, 96)
