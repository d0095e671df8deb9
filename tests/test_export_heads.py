"""``mmbackbones export``: which of mmdet's heads it takes, and why not the others."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch
from cases import SWEEP
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from torch.nn import functional as F

from mmbackbones import InputError
from mmbackbones.compose.configs import load_config
from mmbackbones.export.folder import write_folder
from mmbackbones.export.graph import ExportNet
from mmbackbones.export.onnx_file import write_onnx
from mmbackbones.export.session import OnnxModel, choose

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra export")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra export")
run_alone = importlib.import_module("mmbackbones.export.run")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("paa/paa_r50_fpn_1x_coco", "PAAHead decodes boxes in a way of its own"),
        ("ddod/ddod_r50_fpn_1x_coco", "DDODHead gives cls_scores, bbox_preds, iou_preds"),
        ("vfnet/vfnet_r50_fpn_1x_coco", "VFNetHead gives cls_scores"),
        ("rtmdet/rtmdet_tiny_8xb32-300e_coco", "RTMDetSepBNHead codes boxes against something else"),
        ("guided_anchoring/ga-retinanet_r50_fpn_1x_coco", "GARetinaHead codes boxes against something"),
        ("yolox/yolox_tiny_8xb8-300e_coco", "YOLOXHead has no anchors"),
        ("detr/detr_r50_8xb2-150e_coco", "DETRHead has no anchors"),
        ("rpn/rpn_r50_fpn_1x_coco", "RPNHead has no anchors with scores of classes"),
    ],
)
def test_mmdets_other_heads_are_refused_with_the_reason(config: str, says: str) -> None:
    with pytest.raises(InputError, match=f"cannot be exported: its {says}.*mmbackbones config --model"):
        ExportNet(upstream(config))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("tridentnet/tridentnet_r50-caffe_1x_coco", "a TridentFasterRCNN predicts in a way of its own"),
        ("guided_anchoring/ga-faster-rcnn_r50_fpn_1x_coco", "its GARPNHead proposes boxes in a way of its"),
        ("double_heads/dh-faster-rcnn_r50_fpn_1x_coco", "its DoubleHeadRoIHead is not that of Faster"),
        ("faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco", "its StandardRoIHead is not that .* one map per"),
        ("groie/faste-rcnn_r50_fpn_groie_1x_coco", "its GenericRoIExtractor takes boxes out of maps in a"),
        ("sabl/sabl-faster-rcnn_r50_fpn_1x_coco", "its SABLHead predicts in a way of its own"),
        ("legacy_1.x/faster-rcnn_r50_fpn_1x_coco_v1", "LegacyDeltaXYWHBBoxCoder codes boxes in a way of"),
    ],
)
def test_other_models_of_two_stages_are_refused_with_the_reason(config: str, says: str) -> None:
    with pytest.raises(InputError, match=f"cannot be exported: .*{says}"):
        ExportNet(upstream(config))


@torch.no_grad()
@pytest.mark.parametrize(
    ("config", "outputs"),
    [
        ("gfl/gfl_r50_fpn_1x_coco", 2),
        ("atss/atss_r50_fpn_1x_coco", 3),
        ("fcos/fcos_r50_fpn_gn-head-center-normbbox-centeronreg-giou_8xb8-amp-lsj-200e_coco", 3),
    ],
)
def test_heads_of_distances_and_factors_decode_as_mmdets(
    config: str, outputs: int, tmp_path: Path, exporter: None
) -> None:
    """Of maps of an image of 96x128, of which 90x120 is not padding."""
    whole = load_config(f"mmdet::{config}")
    cfg = whole.model
    init_default_scope("mmdet")
    small = dict(in_channels=8, feat_channels=8, stacked_convs=1, num_classes=3, norm_cfg=None)
    cfg.test_cfg.score_thr = 0.3
    head = MODELS.build({**cfg.bbox_head, **small, "test_cfg": cfg.test_cfg}).eval()
    for layer in head.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.3)
            torch.nn.init.zeros_(layer.bias)
    maps = [torch.randn(1, 8, -(-96 // stride), -(-128 // stride)) for stride in (8, 16, 32, 64, 128)]
    net = ExportNet(Detector(head, maps))
    boxes, scores, *factors = net(torch.zeros(1, 3, 96, 128))
    assert len(net.outputs) == outputs == 2 + len(factors)
    meta = dict(img_shape=(90, 120), ori_shape=(180, 240), scale_factor=(0.5, 0.5))
    found = choose(head, boxes[0], scores[0], meta, *(one[0] for one in factors))
    (expected,) = head.predict_by_feat(*head(maps), batch_img_metas=[meta], rescale=True)
    assert len(found) == len(expected) > 10
    assert found.scores.std() > 0.01
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.bboxes, expected.bboxes, rtol=0, atol=1e-3)
    if not (SWEEP or config.startswith("atss")):
        return  # an export of some seconds each
    # run.py, which shrinks an image of 180x240 and fills it up, chooses these boxes too
    resize = next(step for step in whole.test_dataloader.dataset.pipeline if step["type"] == "Resize")
    resize["scale"] = (120, 90)
    Image.new("RGB", (240, 180)).save(tmp_path / "photo.png")
    write_onnx(net, tmp_path / "model.onnx", (96, 128))
    write_folder(tmp_path, net, whole, ("a", "b", "c"), (96, 128))
    alone = runpy.run_path(str(tmp_path / "run.py"))["Model"]()(tmp_path / "photo.png", 0.0)
    assert alone["classes"] == ["abc"[label] for label in expected.labels]
    np.testing.assert_allclose(alone["scores"], expected.scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(alone["boxes"], expected.bboxes, rtol=0, atol=2e-3)


@torch.no_grad()
def test_boxes_chosen_inside_the_file_are_those_chosen_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exporter: None
) -> None:
    """Of maps of an image of 96x128, of which 90x120 is not padding; torch records the net but once."""
    cfg = load_config("mmdet::atss/atss_r50_fpn_1x_coco").model
    init_default_scope("mmdet")
    small = dict(in_channels=8, feat_channels=8, stacked_convs=1, num_classes=3, norm_cfg=None)
    cfg.test_cfg.update(score_thr=0.3, nms_pre=20)
    head = MODELS.build({**cfg.bbox_head, **small, "test_cfg": cfg.test_cfg}).eval()
    lot = torch.Generator().manual_seed(0)
    for layer in head.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.3, generator=lot)
            torch.nn.init.zeros_(layer.bias)
    sizes = [(-(-96 // stride), -(-128 // stride)) for stride in (8, 16, 32, 64, 128)]
    model = Detector(head, [torch.randn(1, 8, *size, generator=lot) for size in sizes])
    image, meta = torch.zeros(1, 3, 96, 128), dict(img_shape=(90, 120), scale_factor=(1.0, 1.0))
    boxes, scores, factors = (one[0] for one in ExportNet(model)(image))
    theirs = choose(head, boxes, scores, meta, factors)
    record = Mock(wraps=torch.export.export)
    monkeypatch.setattr(torch.export, "export", record)
    write_onnx(ExportNet(model, nms=True), tmp_path / "inside.onnx", (96, 128))
    assert record.call_count == 1
    kinds = {node.op_type for node in onnx.load(str(tmp_path / "inside.onnx")).graph.node}
    assert "NonMaxSuppression" in kinds
    found = OnnxModel(tmp_path / "inside.onnx", model).run(image, (90, 120))
    assert found[0].shape[1] == len(theirs) > 10
    for ours, expected in zip(found, (theirs.bboxes, theirs.scores, theirs.labels), strict=True):
        torch.testing.assert_close(ours[0], expected, rtol=0, atol=1e-3)
    head.test_cfg.nms = dict(type="soft_nms")
    with pytest.raises(InputError, match="--nms: its suppression .*soft_nms.* no operator in ONNX"):
        ExportNet(model, nms=True)


@torch.no_grad()
def test_the_boxes_of_heads_follow_the_size_of_the_image(tmp_path: Path, exporter: None) -> None:
    """Anchors lie where the image's cells lie, and boxes end at its border."""
    cfg = load_config("mmdet::retinanet/retinanet_r50_fpn_1x_coco").model
    init_default_scope("mmdet")
    small = dict(in_channels=3, feat_channels=8, stacked_convs=1, num_classes=3)
    cfg.bbox_head.anchor_generator.strides = Pooled.strides
    head = MODELS.build({**cfg.bbox_head, **small, "test_cfg": cfg.test_cfg}).eval()
    for layer in head.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.1)
    net = ExportNet(Pooled(head, []))
    write_onnx(net, tmp_path / "model.onnx", (96, 128), dynamic=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for size in ((96, 128), (130, 75)):
        image = torch.rand(1, 3, *size) * 20 - 10
        boxes, scores = net(image)
        assert boxes[..., 2:].amax((0, 1)).tolist() == [size[1], size[0]]
        for ours, theirs in zip(session.run(None, {"image": image.numpy()}), (boxes, scores), strict=True):
            torch.testing.assert_close(torch.from_numpy(ours), theirs, rtol=0, atol=1e-3)


class Detector(torch.nn.Module):
    """A head with the maps that it always sees."""

    def __init__(self, head: torch.nn.Module, maps: list[torch.Tensor]) -> None:
        super().__init__()
        self.bbox_head, self.maps, self.data_preprocessor = head, maps, torch.nn.Identity()

    def extract_feat(self, image: torch.Tensor) -> list[torch.Tensor]:
        return self.maps


class Pooled(Detector):
    """With means of the image for maps."""

    strides = (8, 32)

    def extract_feat(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [F.avg_pool2d(image, stride, ceil_mode=True) for stride in self.strides]


@pytest.mark.parametrize(("high", "wide"), [(48, 96), (96, 48), (37, 61)])
def test_the_programs_resizing_is_opencvs_and_torchs(high: int, wide: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 72, 3), np.uint8)
    away = run_alone.resize_photo(image, high, wide).astype(int) - cv2.resize(image, (wide, high))
    assert np.abs(away).max() <= 1
    assert np.count_nonzero(away) <= 0.01 * away.size  # none on most machines, a tenth without its rounding
    band = image[..., 0].astype(np.float32)
    for corners in (False, True):
        theirs = F.interpolate(
            torch.from_numpy(band)[None, None], (high, wide), mode="bilinear", align_corners=corners
        )
        np.testing.assert_allclose(run_alone.resize(band, (high, wide), corners), theirs[0, 0], atol=1e-2)


@pytest.mark.parametrize("config", ["free_anchor/freeanchor_r50_fpn_1x_coco", "ssd/ssd300_coco"])
def test_mmdets_heads_of_anchors_alone_decode_as_theirs(config: str) -> None:
    assert ExportNet(upstream(config)).outputs == ("boxes", "scores")


def upstream(config: str) -> torch.nn.Module:
    """The model of one of mmdet's configs, without values."""
    cfg = load_config(f"mmdet::{config}")
    init_default_scope("mmdet")
    with torch.device("meta"):
        return MODELS.build(cfg.model)
