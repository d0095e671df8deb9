"""SSDLite, YOLOv4-tiny and EfficientDet against the originals: parameters, layers, anchors, losses."""

from __future__ import annotations

import copy

import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from mmbackbones import build
from mmbackbones.detectors import EFFICIENTDETS, efficientdet
from mmbackbones.engine.configs import load_config
from mmbackbones.errors import InputError
from mmbackbones.expanded import ExpandedBackbone
from mmbackbones.heads import EfficientDetHead, RelativeAnchorGenerator, YOLOV4Head
from mmbackbones.necks import SSDLiteNeck, YOLOV4TinyNeck

SCRATCH = "detection/ssdlite_mobilenetv3-large-scratch_8xb24-600e_coco"
# Config, classes as the original counts them (None: the 80 of the config), parameters of the whole and of
# its parts. The last three are as many as mmdet's own have.
COUNTS: list[tuple[str, int | None, int, dict[str, int]]] = [
    (SCRATCH, 90, 3_440_060, dict(bbox_head=1_367_388)),
    ("detection/yolov4-tiny_cspdarknet53-tiny_8xb8-273e_coco", 80, 6_056_606, dict(backbone=3_629_728)),
    (
        "detection/efficientdet-d0_efficientnet-b0_8xb16-300e_coco",
        90,
        3_880_067,
        dict(backbone=3_595_388, neck=196_281, bbox_head=69_354 + 19_044),
    ),
    ("detection/faster-rcnn_resnet50_fpn_1x_coco", None, 41_753_056, dict(roi_head=14_306_705)),
    ("segmentation/mask-rcnn_resnet50_fpn_1x_coco", None, 44_396_336, dict(neck=3_344_384)),
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
    pieces = efficientdet(size)
    with torch.device("meta"):
        total = count(MODELS.build(pieces["backbone"])) + count(MODELS.build(pieces["neck"]))
        total += count(
            EfficientDetHead(90, bbox_coder=dict(type="mmdet.DeltaXYWHBBoxCoder"), **pieces["bbox_head"])
        )
    assert total == pytest.approx(params, rel=0 if isinstance(params, int) else 0.005)
    assert pieces["neck"]["out_channels"] == EFFICIENTDETS[size].channels


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


# --- the expanded map


def test_the_expanded_map_is_what_the_depthwise_convolution_gets() -> None:
    name = "mobilenetv3_small_050"
    net, plain = ExpandedBackbone(name, with_cp=True).eval(), build(name, out_strides=(16, 32)).eval()
    plain.load_state_dict(net.state_dict())
    seen: list[Tensor] = []
    conv = next(
        m
        for n, m in plain.named_modules()
        if isinstance(m, nn.Conv2d) and n.startswith("blocks.4") and m.groups > 1
    )
    conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.rand(1, 3, 93, 115)
    maps, coarse = net(x), plain(x)[1]
    assert tuple(m.shape[1] for m in maps) == net.out_channels
    assert torch.equal(maps[0], seen[0])
    assert torch.equal(maps[1], coarse)
    assert maps[0].shape[-2:] == (6, 8)
    twin = copy.deepcopy(net)
    nn.init.zeros_(twin.conv_stem.weight)
    assert not torch.equal(twin(x)[0], maps[0])
    assert torch.equal(net(x)[0], maps[0])
    sum(m.sum() for m in maps).backward()
    assert net.conv_stem.weight.grad is not None  # through a checkpointed block
    copy.deepcopy(net)  # nothing of the backward pass is kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(dict(out_strides=(8, 16)), "16 and 32"), (dict(out_indices=(2, 3)), "out_strides instead")],
)
def test_what_the_expanded_backbone_refuses(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ExpandedBackbone("mobilenetv3_small_050", **arguments)


# --- necks


def test_ssdlite_neck() -> None:
    neck = SSDLiteNeck([8, 16], extra_channels=(12, 6)).eval()
    maps = neck([torch.rand(1, 8, 9, 7), torch.rand(1, 16, 5, 4)])
    assert [tuple(m.shape[1:]) for m in maps] == [(8, 9, 7), (16, 5, 4), (12, 3, 2), (6, 2, 1)]
    assert neck.out_channels == (8, 16, 12, 6)
    assert [m.groups for m in neck.modules() if isinstance(m, nn.Conv2d)] == [1, 6, 1, 1, 3, 1]
    with pytest.raises(InputError, match="even numbers"):
        SSDLiteNeck([8], extra_channels=(7,))


def test_yolov4_tiny_neck_joins_the_upper_level_first() -> None:
    neck = YOLOV4TinyNeck([8, 16], mid_channels=4, skip_channels=3).eval()
    fine, coarse = torch.rand(1, 8, 7, 5), torch.rand(1, 16, 4, 3)
    low, joined = neck([fine, coarse])
    assert torch.equal(joined[:, 2:], fine[:, 5:])
    rows, columns = torch.arange(7) * 4 // 7, torch.arange(5) * 3 // 5
    assert torch.equal(joined[:, :2], neck.lateral(low)[:, :, rows][..., columns])
    for arguments, message in ((([8],), "two maps"), (([8, 16], 4, 9), "C4 has 8 channels")):
        with pytest.raises(InputError, match=message):
            YOLOV4TinyNeck(*arguments)


# --- heads


def test_yolov4_assigns_by_shape_at_every_level_that_has_the_anchor() -> None:
    head = YOLOV4Head(2)
    boxes = torch.tensor([[10.0, 10, 91, 92], [40, 40, 45, 45], [0, 0, 344, 319]])
    objects, places = head.responsible(boxes, [(13, 13), (26, 26)])
    stride16 = 13 * 13 * 3
    found = set(zip(objects.tolist(), places.tolist(), strict=True))
    assert found == {
        (0, (1 * 13 + 1) * 3 + 0),  # centre (50.5, 51), 81x82 at stride 32
        (0, stride16 + (3 * 26 + 3) * 3 + 2),  # and at stride 16
        (1, stride16 + (2 * 26 + 2) * 3 + 0),  # smaller than all: the smallest
        (2, (4 * 13 + 5) * 3 + 2),
    }


def test_yolov4_does_not_punish_what_overlaps_an_object() -> None:
    head = YOLOV4Head(2, in_channels=(4, 4))
    maps = [torch.zeros(1, 21, 2, 2, requires_grad=True), torch.zeros(1, 21, 4, 4, requires_grad=True)]
    # At stride 16 the cell beside the object's predicts almost the same box with the same anchor.
    truth = InstanceData(bboxes=torch.tensor([[5.0, -5.0, 42.0, 53.0]]), labels=torch.tensor([1]))
    head.loss_by_feat(maps, [truth], [{}])["loss_conf"].backward()
    grad = maps[1].grad.view(3, 7, 4, 4)[:, 4]
    assert grad[1, 1, 1] < 0  # its own anchor 37x58 in cell (1, 1)
    assert grad[1, 1, 0] > 0  # 16 px away: overlaps by less than 0.7
    assert (grad == 0).sum() == 0
    head.ignore_iou_thr = 0.3
    maps[1].grad = None
    head.loss_by_feat(maps, [truth], [{}])["loss_conf"].backward()
    assert maps[1].grad.view(3, 7, 4, 4)[1, 4, 1, 0] == 0


def test_yolov4_coder_reaches_the_border_of_the_cell() -> None:
    coder = TASK_UTILS.build(dict(type="mmbackbones.YOLOV4BBoxCoder"))
    prior = torch.tensor([[8.0, 8, 24, 24]])
    border = torch.tensor([[0.0, 8, 16, 24]])  # centre on the left border of the cell of 16 px
    coded = coder.encode(prior, border, 16)
    assert coded[0, 0] == pytest.approx(0.5 - 0.5 / 1.05, abs=1e-4)
    torch.testing.assert_close(coder.decode(prior, coded, 16), border, atol=1e-3, rtol=0)


def test_efficientdet_levels_share_convolutions_and_not_norms() -> None:
    init_default_scope("mmdet")
    head = EfficientDetHead(2, in_channels=8, stacked_convs=2, bbox_coder=CODER)
    norms = [m for m in head.class_net.modules() if isinstance(m, nn.BatchNorm2d)]
    convs = [m for m in head.class_net.modules() if isinstance(m, nn.Conv2d)]
    assert (len(norms), len(convs)) == (2 * 5, 2 * (2 + 1))
    x = torch.rand(2, 8, 4, 4)
    before = [norm.running_mean.clone() for norm in norms]
    head.train().class_net(x, level=1)
    changed = [not torch.equal(n.running_mean, b) for n, b in zip(norms, before, strict=True)]
    assert changed == [level == 1 for _ in range(2) for level in range(5)]
    head.init_weights()
    scores, boxes = head.eval()([torch.zeros(1, 8, 2, 2)] * 5)
    assert scores[0].detach().sigmoid().mean() == pytest.approx(0.01, abs=1e-3)
    assert boxes[0].shape == (1, 9 * 4, 2, 2)
    anchors = head.prior_generator.grid_priors([(1, 1)] * 5, device="cpu")
    sides = (anchors[0][:, 2:] - anchors[0][:, :2]).prod(-1).sqrt()
    torch.testing.assert_close(
        sides, torch.tensor([32.0, 40.3175, 50.7968]).repeat_interleave(3), atol=0.01, rtol=0
    )
    assert torch.equal((anchors[0][0, :2] + anchors[0][0, 2:]) / 2, torch.tensor([4.0, 4.0]))
