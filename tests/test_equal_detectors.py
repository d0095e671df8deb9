"""Detectors of our configs give mmdet's losses, gradients, detections and masks with mmdet's weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from cases import SWEEP
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from originals import largest_difference, randomise_statistics
from torch import Tensor, nn

from mmbackbones.compose.configs import load_config, walk
from mmbackbones.weights.checkpoints import by_our_names

SIZE = (96, 128)
# Our config, and mmdet's.
EVERY = [
    ("faster-rcnn_resnet50_fpn_1x_coco", "faster_rcnn/faster-rcnn_r50_fpn_1x_coco"),
    ("mask-rcnn_resnet50_fpn_1x_coco", "mask_rcnn/mask-rcnn_r50_fpn_1x_coco"),
    ("retinanet_resnet50_fpn_1x_coco", "retinanet/retinanet_r50_fpn_1x_coco"),
    ("mask-rcnn_swin-tiny_fpn_1x_coco", "swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco"),
]
# Mask R-CNN is Faster R-CNN and masks: that one alone is for `make sweep`.
ROWS = EVERY if SWEEP else EVERY[1:]
# The weights that make scores, boxes and masks.
LAST = tuple(f"_{what}.weight" for what in ("cls", "reg", "logits"))


class Pair(NamedTuple):
    """The same detector from our config and from mmdet's, with mmdet's weights, in double precision.

    In single precision those with ResNet agree to the last bit; a transformer computed in another order
    rounds its gradients, of size 3, to 1e-3 and boxes to 1e-4 px.
    """

    ours: nn.Module
    theirs: nn.Module

    def rename(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """mmdet's names as ours, as ``load_from`` reads them."""
        return by_our_names(self.ours, {"state_dict": tensors}, "theirs")

    @property
    def frozen(self) -> set[str]:
        """What of the backbone has no gradient."""
        return {"conv1", "bn1", "layer1"} if hasattr(self.ours.backbone, "layer1") else set()


def shrunk(name: str) -> ConfigDict:
    """A config's model: fewer proposals, every score counts, nothing is downloaded or left to chance."""
    model = load_config(name).model
    limits = dict(nms_pre=100, max_per_img=20, score_thr=0.0, drop_path_rate=0.0)
    for key, node in walk(model):
        node.pop("init_cfg", None)
        node.update({name: value for name, value in limits.items() if name in node})
        if key == "sampler" and node.get("add_gt_as_proposals"):
            node.num = 16
    return model


@pytest.fixture(scope="module", params=ROWS, ids=[row[0] for row in ROWS])
def pair(request: pytest.FixtureRequest) -> Pair:
    own, name = request.param
    torch.manual_seed(0)
    init_default_scope("mmdet")
    theirs = MODELS.build(shrunk(f"mmdet::{name}"))
    theirs.init_weights()
    if "r50" in name:
        randomise_statistics(theirs.backbone, torch.randn(2, 3, *SIZE))
    for key, value in theirs.named_parameters():
        if key.endswith(LAST):  # as they begin, all scores are alike and no box leaves its anchor
            value.data *= 30 if "retina" in key else 5
    model = shrunk(f"detection/{own}")
    assert model.backbone.type.startswith("mmbackbones.")
    assert "mmbackbones.FPN" in str(model.neck)
    ours = MODELS.build(model)
    pair = Pair(ours, theirs)
    ours.load_state_dict(pair.rename(theirs.state_dict()), strict=True)
    return Pair(ours.double(), theirs.double())


def samples() -> list[DetDataSample]:
    boxes = torch.tensor([[8.0, 10.0, 60.0, 70.0], [50.0, 20.0, 120.0, 90.0]])
    found = []
    for shift in (0, 4):
        meta = dict(img_shape=SIZE, pad_shape=SIZE, ori_shape=SIZE, scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=meta, batch_input_shape=SIZE)
        masks = np.zeros((2, *SIZE), np.uint8)
        for mask, (left, top, right, bottom) in zip(masks, (boxes + shift).int().tolist(), strict=True):
            mask[top:bottom, left : (left + right) // 2] = 1
        sample.gt_instances = InstanceData(
            bboxes=boxes + shift, labels=torch.tensor([3, 7]), masks=BitmapMasks(masks, *SIZE)
        )
        found.append(sample)
    return found


def losses_and_gradients(model: nn.Module, images: Tensor) -> tuple[dict[str, float], dict[str, Tensor]]:
    torch.manual_seed(1)  # the samplers of boxes draw from it
    terms = model.train().loss(images, samples())
    terms = {k: sum(v) if isinstance(v, list) else v for k, v in terms.items()}
    model.zero_grad()
    sum(v for k, v in terms.items() if "loss" in k).backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return {name: float(value.detach()) for name, value in terms.items()}, gradients


def test_losses_and_gradients(pair: Pair) -> None:
    images = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    ours, gradients = losses_and_gradients(pair.ours, images)
    theirs, expected = losses_and_gradients(pair.theirs, images)
    assert min(value for name, value in theirs.items() if "loss" in name) > 0, "a comparison would be empty"
    assert ours == pytest.approx(theirs, rel=0, abs=1e-6)
    expected = pair.rename(expected)
    assert set(gradients) == set(expected)
    frozen = dict(pair.ours.named_parameters()).keys() - gradients.keys()
    assert {name.split(".")[1] for name in frozen} == pair.frozen
    assert largest_difference(list(gradients.values()), [expected[name] for name in gradients]) <= 1e-6


def test_detections_and_masks(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.randn(1, 3, *SIZE, dtype=torch.float64)
    masked = hasattr(pair.theirs, "roi_head") and pair.theirs.roi_head.with_mask
    # mmdet pastes masks into the image in single precision only: their logits are compared below.
    monkeypatch.setattr(BaseRoIHead, "with_mask", False)
    with torch.no_grad():
        ours, theirs = (model.eval().predict(image, samples()[:1])[0].pred_instances for model in pair[:2])
        assert len(theirs) == 20
        assert theirs.scores.std() > 0.01
        torch.testing.assert_close(ours.bboxes, theirs.bboxes, rtol=0, atol=1e-6)
        torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=1e-6)
        assert torch.equal(ours.labels, theirs.labels)
        if masked:
            rois = bbox2roi([theirs.bboxes[:8]])
            logits = [m.roi_head._mask_forward(m.extract_feat(image), rois)["mask_preds"] for m in pair[:2]]
            assert logits[1].std() > 0.1
            torch.testing.assert_close(*logits, rtol=0, atol=1e-6)
