"""What SSDLite, YOLOv4-tiny and EfficientDet are made of: the expanded map, necks, anchors, heads."""

from __future__ import annotations

import copy

import pytest
import torch
from cases import NAMES
from mmdet.registry import TASK_UTILS
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmbackbones import build, get_spec
from mmbackbones.compose.backbones import EXPANDED, EXPANDING, channels_with
from mmbackbones.errors import InputError
from mmbackbones.heads import EfficientDetHead, YOLOV4Head
from mmbackbones.inner_taps.expanded import ExpandedBackbone
from mmbackbones.necks import SSDLiteNeck, YOLOV4TinyNeck

CODER = dict(type="mmdet.DeltaXYWHBBoxCoder")

# --- the expanded map


@pytest.mark.parametrize("name", [name for name in NAMES if get_spec(name).family in EXPANDED])
def test_the_width_of_the_expanded_map_is_known_before_the_net_is_built(name: str) -> None:
    channels = channels_with(get_spec(name), {}, EXPANDING)
    with torch.device("meta"):
        assert ExpandedBackbone(name).out_channels == (channels[16], channels[32])


def test_other_nets_are_built_to_see_it() -> None:
    before = torch.random.get_rng_state()
    reduced = get_spec("torchvision:mobilenet_v3_large")
    channels = channels_with(reduced, dict(reduced_tail=True), EXPANDING)
    assert (channels[16], channels[32]) == (672, 480)
    channels = channels_with(get_spec("mobilenetv1_025"), {}, EXPANDING)
    assert (channels[16], channels[32]) == (128, 256)
    assert torch.equal(before, torch.random.get_rng_state())


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
