"""Equal to the originals: same weights, same maps, losses and detections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmbackbones import build


def randomise_statistics(net: nn.Module, images: Tensor) -> None:
    """Let batch norms take their statistics from ``images``, and their affine from chance."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    net.train()
    for norm in norms:
        norm.train().momentum = 1.0  # mmdet's norm_eval keeps them in eval mode
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    with torch.no_grad():
        net(images)
    net.eval()


def largest_difference(ours: Any, theirs: Any) -> float:
    """Largest absolute difference over all tensors."""
    assert len(ours) == len(theirs)
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("source", ["timm", "torchvision"])
def test_features_of_resnet50(source: str) -> None:
    images = torch.rand(2, 3, 97, 128)
    if source == "timm":
        import timm

        original = timm.create_model("resnet50", features_only=True, out_indices=(1, 2, 3, 4))
        maps = original
    else:
        from torchvision.models import resnet50
        from torchvision.models.feature_extraction import create_feature_extractor

        original = resnet50()
        nodes = [f"layer{i}" for i in (1, 2, 3, 4)]
        maps = create_feature_extractor(original, nodes)
    randomise_statistics(original, images)
    weights = {k: v for k, v in original.state_dict().items() if not k.startswith("fc.")}
    ours = build("resnet50").eval()
    ours.load_state_dict(weights, strict=True)
    with torch.no_grad():
        expected = maps.eval()(images)
        expected = list(expected.values()) if isinstance(expected, dict) else expected
        assert min(float(m.abs().max()) for m in expected) > 0.1
        assert largest_difference(ours(images), expected) <= 1e-5


@pytest.fixture(scope="module")
def detectors() -> tuple[nn.Module, nn.Module]:
    """mmdet's Faster R-CNN R50-FPN, and the same with our backbone and neck and its weights."""
    import mmdet
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    register_all_modules(init_default_scope=False)
    base = Path(mmdet.__file__).parent / ".mim/configs/_base_/models/faster-rcnn_r50_fpn.py"
    model = Config.fromfile(base).model
    model.backbone.init_cfg = None  # random weights: tests never download
    for part in ("train_cfg", "test_cfg"):
        settings = model[part].rpn_proposal if part == "train_cfg" else model[part].rpn
        settings.update(nms_pre=100, max_per_img=40)
    model.train_cfg.rcnn.sampler.num = 32
    model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=20)
    with DefaultScope.overwrite_default_scope("mmdet"):
        theirs = MODELS.build(model)
    theirs.init_weights()
    randomise_statistics(theirs.backbone, torch.randn(2, 3, 96, 128))
    model.backbone = dict(type="mmbackbones.resnet50", frozen_stages=1, norm_eval=True)
    model.neck.type = "mmbackbones.FPN"
    with DefaultScope.overwrite_default_scope("mmdet"):
        ours = MODELS.build(model)
    assert type(ours.neck).__module__ == "mmbackbones.necks.fpn"
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def samples() -> list[Any]:
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    boxes = torch.tensor([[8.0, 10.0, 60.0, 70.0], [50.0, 20.0, 120.0, 90.0]])
    found = []
    for shift in (0, 4):
        meta = dict(img_shape=(96, 128), pad_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(bboxes=boxes + shift, labels=torch.tensor([3, 7]))
        found.append(sample)
    return found


def test_losses_and_gradients_of_faster_rcnn(detectors: tuple[nn.Module, nn.Module]) -> None:
    images = torch.randn(2, 3, 96, 128)
    losses, gradients = [], []
    for model in detectors:
        torch.manual_seed(1)  # the samplers of boxes draw from it
        terms = model.train().loss(images, samples())
        terms = {k: sum(v) if isinstance(v, list) else v for k, v in terms.items()}
        model.zero_grad()
        sum(v for k, v in terms.items() if "loss" in k).backward()
        losses.append({k: float(v.detach()) for k, v in terms.items()})
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    ours, theirs = losses
    assert theirs["loss_bbox"] > 0, "no positive RoI: the comparison would be empty"
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert set(gradients[0]) == set(gradients[1])
    assert not any(n.startswith(("backbone.layer1.", "backbone.conv1.")) for n in gradients[0])
    names = list(gradients[0])
    assert largest_difference([gradients[0][n] for n in names], [gradients[1][n] for n in names]) <= 1e-4


def test_detections_of_faster_rcnn(detectors: tuple[nn.Module, nn.Module]) -> None:
    images = torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        ours, theirs = (model.eval().predict(images, samples()) for model in detectors)
    for a, b in zip(ours, theirs, strict=True):
        a, b = a.pred_instances, b.pred_instances
        assert len(b) == 20
        torch.testing.assert_close(a.bboxes, b.bboxes, rtol=0, atol=1e-4)
        torch.testing.assert_close(a.scores, b.scores, rtol=0, atol=1e-4)
        assert torch.equal(a.labels, b.labels)
