"""SSDLite, YOLOv4-tiny and EfficientDet: boxes survive the way through the head, losses fall."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmbackbones import swap
from mmbackbones.compose.filling import compose
from mmbackbones.errors import InputError

SMALL = "mobilenetv3_small_050"
EACH = pytest.mark.parametrize("kind", ["ssdlite", "yolov4-tiny", "efficientdet-d0"])
CLASSES = 3
BOXES = torch.tensor([[8.0, 12.0, 50.0, 60.0], [60.0, 20.0, 100.0, 66.0]])
LABELS = torch.tensor([2, 0])
SIZE = (93, 115)  # nothing divides it


def detector(kind: str, name: str = SMALL) -> nn.Module:
    """The detector ``kind`` of the table around ``name``."""
    init_default_scope("mmdet")
    model = compose(kind, name, pretrained=False)[0].model
    model.bbox_head.num_classes = CLASSES
    model.data_preprocessor.update(mean=[0.0] * 3, std=[1.0] * 3)
    return MODELS.build(model)


def instances(boxes: Tensor = BOXES, labels: Tensor = LABELS) -> InstanceData:
    return InstanceData(bboxes=boxes, labels=labels)


def batch(count: int = 2, size: tuple[int, int] = SIZE, boxes: Tensor = BOXES) -> dict[str, Any]:
    """Noise with brighter objects."""
    images, samples = [], []
    for _ in range(count):
        image = torch.rand(3, *size) * 40
        for (x1, y1, x2, y2), label in zip(boxes.long().tolist(), LABELS.tolist(), strict=False):
            image[label, y1:y2, x1:x2] += 150
        sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
        sample.gt_instances = instances(boxes.clone(), LABELS[: len(boxes)].clone())
        images.append(image)
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


def total_loss(model: nn.Module, data: dict[str, Any]) -> Tensor:
    ready = model.data_preprocessor(data, True)
    return model.parse_losses(model(**ready, mode="loss"))[0]


# --- boxes through the head


def perfect_maps(model: nn.Module, sizes: list[tuple[int, int]]) -> tuple[list[Tensor], ...]:
    """What the head of an anchor detector should give for BOXES: the targets of its own training."""
    head = model.bbox_head
    metas = [dict(img_shape=SIZE, pad_shape=SIZE)]
    anchors, flags = head.get_anchors(sizes, metas, device="cpu")
    labels, _, targets, _, _ = head.get_targets(anchors, flags, [instances()], metas, unmap_outputs=True)
    if labels[0].numel() != len(anchors[0][0]):  # SSD gives all levels as one
        counts = [len(level) for level in anchors[0]]
        labels, targets = labels[0].split(counts, 1), targets[0].split(counts, 1)
    counts = head.num_base_priors
    counts = [counts] * len(sizes) if isinstance(counts, int) else counts
    scores, boxes = [], []
    for size, count, label, target in zip(sizes, counts, labels, targets, strict=True):
        logits = nn.functional.one_hot(label.reshape(-1), CLASSES + 1)[:, : head.cls_out_channels]
        for maps, values in ((scores, logits * 40.0 - 20), (boxes, target.reshape(-1, 4))):
            maps.append(values.reshape(1, *size, count * values.shape[-1]).permute(0, 3, 1, 2))
    return scores, boxes


def perfect_yolo_maps(model: nn.Module, sizes: list[tuple[int, int]]) -> tuple[list[Tensor]]:
    head = model.bbox_head
    priors = head.prior_generator.grid_priors(sizes, device="cpu")
    strides = torch.cat([p.new_full((len(p),), s) for p, s in zip(priors, (32, 16), strict=True)])
    flat = torch.full((len(strides), 5 + CLASSES), -20.0)
    objects, places = head.responsible(BOXES, sizes)
    coded = head.bbox_coder.encode(torch.cat(priors)[places], BOXES[objects], strides[places])
    flat[places, :2], flat[places, 2:4], flat[places, 4] = coded[:, :2].logit(), coded[:, 2:], 20.0
    flat[places, 5 + LABELS[objects]] = 20.0
    levels = flat.split([len(p) for p in priors])
    return ([m.reshape(1, *s, -1).permute(0, 3, 1, 2) for m, s in zip(levels, sizes, strict=True)],)


@EACH
def test_perfect_predictions_give_the_boxes_back(kind: str) -> None:
    model = detector(kind).eval()
    x = torch.zeros(1, 3, *SIZE)
    head = model.bbox_head
    out = head(model.extract_feat(x))
    sizes = [tuple(level.shape[-2:]) for level in out[0]]
    maps = (perfect_yolo_maps if kind == "yolov4-tiny" else perfect_maps)(model, sizes)
    assert [[m.shape for m in part] for part in maps] == [[m.shape for m in part] for part in out]
    meta = dict(img_shape=SIZE, ori_shape=SIZE, scale_factor=(0.5, 0.5))
    for rescale, factor in ((False, 1), (True, 2)):
        copies = [[m.clone() for m in part] for part in maps]
        (found,) = head.predict_by_feat(*copies, batch_img_metas=[meta], rescale=rescale)
        found = found[found.scores > 0.5]
        order = found.bboxes[:, 0].argsort()
        assert len(found) == len(BOXES)
        torch.testing.assert_close(found.bboxes[order], BOXES * factor, atol=0.01, rtol=0)
        assert torch.equal(found.labels[order], LABELS)
    losses = head.loss_by_feat(*maps, [instances()], [dict(img_shape=SIZE, pad_shape=SIZE)])
    assert 0 <= float(model.parse_losses(losses)[0]) < 0.01


# --- training


@EACH
def test_the_loss_falls_and_the_objects_are_found(kind: str) -> None:
    model = detector(kind)
    model.init_weights()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.5  # few steps
    data = batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = total_loss(model.train(), data)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        losses.append(float(loss))
    assert torch.isfinite(torch.tensor(losses)).all()
    assert losses[-1] < 0.3 * losses[0], losses
    for sample in model.eval().test_step(data):
        found = sample.pred_instances
        assert torch.equal(found.labels[:2].sort().values, LABELS.sort().values)


@EACH
def test_images_without_objects_train_too(kind: str) -> None:
    model = detector(kind)
    loss = total_loss(model, batch(boxes=BOXES[:0]))
    assert torch.isfinite(loss)
    loss.backward()
    lacking = [name for name, value in model.named_parameters() if value.grad is None]
    assert not lacking
    assert all(torch.isfinite(value.grad).all() for value in model.parameters())


@EACH
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_035", "timm:vit_tiny_patch16_224"])
def test_any_backbone_fits(kind: str, name: str) -> None:
    model = detector(kind, name)
    with torch.no_grad():
        maps = model.bbox_head(model.extract_feat(torch.rand(2, 3, 65, 99)))
    assert all(torch.isfinite(m).all() for part in maps for m in part)


def test_what_a_backbone_lacks_is_said() -> None:
    with pytest.raises(InputError, match="at strides"):
        compose("yolov4-tiny", "squeezenet1_1")
    with pytest.raises(InputError, match="mmbackbones.Backbone"):
        swap("_base_/ssdlite_coco", "resnet18", backbone_type="mmbackbones.ExpandedBackbone")
