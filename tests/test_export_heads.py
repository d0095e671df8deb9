"""``mmbackbones export``: which of mmdet's heads it takes, and why not the others."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmbackbones import InputError
from mmbackbones.compose.configs import load_config
from mmbackbones.export.graph import ExportNet


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("gfl/gfl_r50_fpn_1x_coco", "GFLHead decodes boxes in a way of its own"),
        ("atss/atss_r50_fpn_1x_coco", "ATSSHead gives cls_scores, bbox_preds, centernesses"),
        ("ddod/ddod_r50_fpn_1x_coco", "DDODHead gives cls_scores, bbox_preds, iou_preds"),
        ("paa/paa_r50_fpn_1x_coco", "PAAHead decodes boxes in a way of its own"),
        ("vfnet/vfnet_r50_fpn_1x_coco", "VFNetHead codes boxes against something else"),
        ("rtmdet/rtmdet_tiny_8xb32-300e_coco", "RTMDetSepBNHead codes boxes against something else"),
        ("guided_anchoring/ga-retinanet_r50_fpn_1x_coco", "GARetinaHead codes boxes against something"),
        (
            "fcos/fcos_r50_fpn_gn-head-center-normbbox-centeronreg-giou_8xb8-amp-lsj-200e_coco",
            "FCOSHead has no",
        ),
        ("yolox/yolox_tiny_8xb8-300e_coco", "YOLOXHead has no anchors"),
        ("detr/detr_r50_8xb2-150e_coco", "DETRHead has no anchors"),
        ("rpn/rpn_r50_fpn_1x_coco", "RPNHead has no anchors with scores of classes"),
    ],
)
def test_mmdets_other_heads_are_refused_with_the_reason(config: str, says: str) -> None:
    with pytest.raises(InputError, match=f"cannot be exported: its {says}.*mmbackbones config --model"):
        ExportNet(upstream(config))


@pytest.mark.parametrize("config", ["free_anchor/freeanchor_r50_fpn_1x_coco", "ssd/ssd300_coco"])
def test_mmdets_heads_of_anchors_alone_decode_as_theirs(config: str) -> None:
    assert ExportNet(upstream(config)).outputs == ("boxes", "scores")


def upstream(config: str) -> torch.nn.Module:
    """The model of one of mmdet's configs, without values."""
    cfg = load_config(f"mmdet::{config}")
    init_default_scope("mmdet")
    with torch.device("meta"):
        return MODELS.build(cfg.model)
