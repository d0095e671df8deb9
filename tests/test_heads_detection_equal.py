"""SSDLite, YOLOv4-tiny and EfficientDet against the originals: parameters, layers, anchors, losses."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from mmbackbones.compose.configs import load_config
from mmbackbones.compose.filling import compose
from mmbackbones.compose.models import EFFICIENTDETS
from mmbackbones.errors import InputError
from mmbackbones.heads import RelativeAnchorGenerator

SCRATCH = "detection/ssdlite_mobilenetv3-large-scratch_8xb24-600e_coco"
# Config, classes as the original counts them (None: the 80 of the config), parameters of the whole and of
# its parts. The last three are as many as mmdet's own have.
COUNTS: list[tuple[str, int | None, int, dict[str, int]]] = [
    (SCRATCH, 90, 3_440_060, dict(bbox_head=1_367_388)),
    ("detection/yolov4-tiny_cspdarknet53-tiny_8xb8-273e_coco", 80, 6_056_606, dict(backbone=3_629_728)),
    (
        "detection/efficientdet-d0_efficientnet-b0_bifpn_8xb16-300e_coco",
        90,
        3_880_067,
        dict(backbone=3_595_388, neck=196_281, bbox_head=69_354 + 19_044),
    ),
    ("detection/faster-rcnn_resnet50_fpn_1x_coco", None, 41_753_056, dict(roi_head=14_306_705)),
    ("detection/mask-rcnn_resnet50_fpn_1x_coco", None, 44_396_336, dict(neck=3_344_384)),
    ("detection/retinanet_resnet50_fpn_1x_coco", None, 37_968_692, dict(neck=7_997_440)),
]
CODER = dict(type="mmdet.DeltaXYWHBBoxCoder")


def count(model: nn.Module) -> int:
    return sum(value.numel() for value in model.parameters())


def built(model: dict, classes: int | None) -> nn.Module:
    init_default_scope("mmdet")
    if classes is not None:
        model["bbox_head"]["num_classes"] = classes
    return MODELS.build(model)


@pytest.mark.parametrize(("name", "classes", "total", "parts"), COUNTS)
def test_the_originals_parameters(name: str, classes: int | None, total: int, parts: dict[str, int]) -> None:
    cfg = load_config(name)
    with torch.device("meta"):
        model = built(cfg.model, classes)
    assert count(model) == total
    assert {part: count(getattr(model, part)) for part in parts} == parts


# D1 and D0 as executed with effdet; the others as published, in millions.
@pytest.mark.parametrize(
    ("size", "params"),
    [("d0", 3_880_067), ("d1", 6_625_898), ("d2", 8.1e6), ("d3", 12.0e6), ("d4", 20.7e6)],
)
def test_every_size_of_efficientdet(size: str, params: float) -> None:
    cfg, _ = compose(f"efficientdet-{size}", f"efficientnet_b{size[1]}", pretrained=False)
    with torch.device("meta"):
        total = count(built(cfg.model, 90))
    assert total == pytest.approx(params, rel=0 if isinstance(params, int) else 0.005)
    assert cfg.model.neck.out_channels == EFFICIENTDETS[size].channels


# --- SSDLite against torchvision


@pytest.fixture(scope="module")
def pair_of_ssdlites() -> tuple[nn.Module, nn.Module]:
    """Ours and torchvision's with the same weights, for 5 classes and the background."""
    torch.manual_seed(0)
    theirs = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=6).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.1, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    ours = built(load_config(SCRATCH).model, 5).eval()
    same_order = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(same_order))
    for branch in ours.bbox_head.cls_convs:
        for value in branch[-1].parameters():  # their background comes first, ours last
            grouped = value.data.unflatten(0, (-1, 6))
            value.data = grouped.roll(-1, 1).flatten(0, 1)
    return ours, theirs


def boxes_of(maps: list[Tensor], width: int) -> Tensor:
    return torch.cat([m.permute(0, 2, 3, 1).reshape(len(m), -1, width) for m in maps], 1)


def test_ssdlite_equals_torchvisions(pair_of_ssdlites: tuple[nn.Module, nn.Module]) -> None:
    ours, theirs = pair_of_ssdlites
    x = torch.randn(2, 3, 320, 320)
    with torch.no_grad():
        scores, boxes = ours.bbox_head(ours.extract_feat(x))
        maps = list(theirs.backbone(x).values())
        wanted = theirs.head(maps)
    logits = boxes_of(scores, 6).roll(1, -1)
    assert logits.std() > 0.05
    torch.testing.assert_close(logits, wanted["cls_logits"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(boxes_of(boxes, 4), wanted["bbox_regression"], atol=1e-5, rtol=1e-4)

    anchors = theirs.anchor_generator(ImageList(x, [(320, 320)] * 2), maps)
    own = ours.bbox_head.prior_generator.grid_priors([m.shape[-2:] for m in maps], device="cpu")
    torch.testing.assert_close(torch.cat(own), anchors[0], atol=1e-3, rtol=0)

    truth = torch.tensor([[20.0, 30, 110, 140], [150, 150, 300, 250], [30, 200, 80, 260]])
    labels = torch.tensor([4, 0, 2])
    targets = [dict(boxes=truth, labels=labels + 1), dict(boxes=truth[:1], labels=labels[:1] + 1)]
    matched = [theirs.proposal_matcher(box_iou(t["boxes"], a)) for t, a in zip(targets, anchors, strict=True)]
    expected = theirs.compute_loss(targets, wanted, anchors, matched)
    instances = [InstanceData(bboxes=t["boxes"], labels=t["labels"] - 1) for t in targets]
    metas = [dict(img_shape=(320, 320), pad_shape=(320, 320))] * 2
    losses = ours.bbox_head.loss_by_feat(scores, boxes, instances, metas)
    for name, other in (("loss_cls", "classification"), ("loss_bbox", "bbox_regression")):
        torch.testing.assert_close(sum(losses[name]).squeeze(), expected[other], atol=1e-4, rtol=1e-4)


def test_relative_anchors_follow_the_image() -> None:
    anchors = RelativeAnchorGenerator(16, (0.2, 0.8), [[2]] * 3)
    small = anchors.grid_priors([(10, 6), (5, 3), (3, 2)], device="cpu")
    large = anchors.grid_priors([(20, 12), (10, 6), (5, 3)], device="cpu")
    torch.testing.assert_close(small[0][:4] * 2 - large[0][:4], torch.tensor([8.0, 8, 8, 8]).expand(4, 4))
    flags = anchors.valid_flags([(10, 6), (5, 3), (3, 2)], (160, 60), device="cpu")
    valid = [
        f.reshape(*size, 4)[0, :, 0].tolist()
        for f, size in zip(flags, [(10, 6), (5, 3), (3, 2)], strict=True)
    ]
    assert valid == [[True] * 4 + [False] * 2, [True, True, False], [True, True]]
    with pytest.raises(InputError, match="shares of the image"):
        RelativeAnchorGenerator(16, (20, 95))
    with pytest.raises(InputError, match="2 maps arrive"):
        anchors.grid_priors([(10, 6), (5, 3)], device="cpu")
