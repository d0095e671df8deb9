"""Decode heads for segmentation: parameters, values, gradients, odd sizes."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cases import DILATABLE, SWEEP, quick
from head_cases import NARROW, R18, SMALL, UNETPP, build, maps
from torch import Tensor, nn

import mmbackbones


def count(*nets: nn.Module) -> int:
    return sum(value.numel() for net in nets for value in net.parameters())


def samples(high: int, wide: int, classes: int = 5) -> list[Any]:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    label = torch.randint(classes, (1, high, wide))
    return [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in range(2)]


# --- SwiftNet


def test_swiftnet_resnet18_has_the_published_parameters() -> None:
    cfg = dict(type="mmbackbones.SwiftNetHead", in_channels=R18[1:], num_classes=19)
    head, backbone = build(cfg), mmbackbones.build("resnet18")
    assert count(head.spp) == 116_476
    assert count(head.ladder) == 501_376
    assert count(head, backbone) == 11_797_071


@pytest.mark.parametrize("grid", [(8, 16), (4, 9), (2, 3), (17, 31)])
def test_pooling_by_products_is_adaptive_pooling(grid: tuple[int, int]) -> None:
    from mmbackbones.heads.swiftnet import pooled

    x = torch.randn(2, 3, 13, 29)
    torch.testing.assert_close(pooled(x, *grid), F.adaptive_avg_pool2d(x, grid), atol=1e-6, rtol=0)


def brc(block: nn.Sequential, x: Tensor) -> Tensor:
    """Normalisation, ReLU and convolution, written out."""
    norm, conv = block.bn, block.conv
    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return F.conv2d(x.relu(), conv.weight, padding=conv.kernel_size[0] // 2)


def test_swiftnet_head_follows_the_paper() -> None:
    head = build(dict(type="mmbackbones.SwiftNetHead", in_channels=SMALL, channels=16, num_classes=5)).eval()
    inputs = maps(SMALL, first=2, image=(256, 512))

    def up(x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)

    x = brc(head.spp.reduce, inputs[-1])
    levels = [
        up(brc(level, F.adaptive_avg_pool2d(x, (rows, 2 * rows))), x)
        for rows, level in zip((8, 4, 2), head.spp.levels, strict=True)
    ]
    x = brc(head.spp.fuse, torch.cat([x, *levels], dim=1))
    for step, skip in zip(head.ladder, inputs[2::-1], strict=True):
        skip = brc(step.skip, skip)
        x = brc(step.blend, skip + up(x, skip))
    norm = head.last_norm
    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps).relu()
    torch.testing.assert_close(head(inputs), head.conv_seg(x), atol=1e-5, rtol=0)


# --- U-Net++


def test_unetplusplus_computes_the_nodes_of_the_paper() -> None:
    """X(i,j) reads X(i,0..j-1) and X(i+1,j-1); 1 + 2 + 3 nodes over four maps."""
    head = build({**UNETPP, **NARROW}).eval()
    assert sorted(head.nodes) == ["0_1", "0_2", "0_3", "1_1", "1_2", "2_1"]
    inputs = maps(SMALL)
    x = {(row, 0): fmap for row, fmap in enumerate(inputs)}
    for i, j in ((0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (0, 3)):
        up = F.interpolate(x[i + 1, j - 1], size=x[i, 0].shape[-2:], mode="nearest")
        x[i, j] = head.nodes[f"{i}_{j}"](torch.cat([up, *(x[i, k] for k in reversed(range(j)))], dim=1))
    torch.testing.assert_close(head(inputs), head.conv_seg(x[0, 3]))
    assert [x[i, 3 - i].shape[1] for i in (2, 1, 0)] == [16, 12, 8]


def test_deep_supervision_averages_probabilities() -> None:
    head = build({**UNETPP, **NARROW, "deep_supervision": True}).eval()
    inputs = maps(SMALL)
    branches = head.branches(inputs)
    assert len(branches) == 3
    expected = torch.stack([branch.softmax(dim=1) for branch in branches]).mean(dim=0)
    torch.testing.assert_close(head(inputs).softmax(dim=1), expected, atol=1e-6, rtol=1e-5)


def test_deep_supervision_with_one_channel_averages_sigmoids() -> None:
    cfg = {**UNETPP, **NARROW, "num_classes": 2, "out_channels": 1, "threshold": 0.5}
    head = build({**cfg, "deep_supervision": True}).eval()
    inputs = maps(SMALL)
    expected = torch.stack([branch.sigmoid() for branch in head.branches(inputs)]).mean(dim=0)
    torch.testing.assert_close(head(inputs).sigmoid(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_pruning_takes_one_branch_and_computes_only_its_nodes(depth: int) -> None:
    head = build({**UNETPP, **NARROW, "deep_supervision": True, "prune": depth}).eval()
    inputs = maps(SMALL)
    whole = head.branches(inputs)
    called = []
    for name, node in head.nodes.items():
        node.register_forward_hook(lambda *_, name=name: called.append(name))
    torch.testing.assert_close(head(inputs), whole[depth - 1])
    assert len(called) == depth * (depth + 1) // 2


def test_the_loss_is_the_mean_over_the_branches() -> None:
    head = build({**UNETPP, **NARROW, "deep_supervision": True})
    inputs, truth = maps(SMALL), samples(65, 99)
    losses = head.loss(inputs, truth, None)
    each = [head.loss_by_feat(branch, truth)["loss_ce"] for branch in head.branches(inputs)]
    torch.testing.assert_close(losses["loss_ce"], torch.stack(each).mean())
    losses["loss_ce"].backward()
    assert all(value.grad is not None for value in head.parameters())


def test_four_maps_and_twice_the_finest_size() -> None:
    head = build({**UNETPP, "decoder_channels": (16, 12, 8, 4)})
    inputs = maps(SMALL, first=2)
    high, wide = inputs[0].shape[-2:]
    assert head(inputs).shape == (2, 5, 2 * high, 2 * wide)


# --- BiSeNet and the linear head


@pytest.mark.parametrize("name", ["mobilenetv2_035", "shufflenet_v2_x0_5"])
def test_bisenet_around_other_backbones(name: str) -> None:
    backbone = mmbackbones.pair(name, neck=None, strides=(16, 32))["backbone"]
    before = copy.deepcopy(backbone)
    net = build(dict(type="mmbackbones.BiSeNet", backbone_cfg=backbone))
    assert backbone == before
    fused, fine, coarse = net(torch.randn(2, 3, 99, 101))
    assert [m.shape for m in (fused, fine, coarse)] == [(2, 256, 13, 13), (2, 128, 13, 13), (2, 128, 7, 7)]
    (fused.mean() + fine.mean() + coarse.mean()).backward()
    assert all(value.grad is not None for value in net.parameters())


def test_bisenet_loads_its_backbones_weights(tmp_path: Path) -> None:
    donor = mmbackbones.build("shufflenet_v2_x0_5", out_strides=(16, 32))
    torch.save(donor.state_dict(), tmp_path / "donor.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "donor.pth"))
    pieces = mmbackbones.pair("shufflenet_v2_x0_5", neck=None, strides=(16, 32), init_cfg=init_cfg)
    net = build(dict(type="mmbackbones.BiSeNet", backbone_cfg=pieces["backbone"]))
    net.init_weights()
    loaded = net.context_path.backbone.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in donor.state_dict().items())


def test_linear_head_is_a_norm_and_a_pointwise_convolution() -> None:
    head = build(dict(type="mmbackbones.LinearHead", in_channels=8, num_classes=5)).eval()
    x = torch.randn(2, 8, 5, 7)
    torch.testing.assert_close(head((x,)), head.conv_seg(head.norm(x)))
    assert count(head) == 2 * 8 + 8 * 5 + 5


# --- DeepLabV3+

#: But for LeNet and SqueezeNet, which lack strides.
WITH_ALL_MAPS = [name for name in DILATABLE if {4, 8, 16, 32} <= set(mmbackbones.get_spec(name).channels)]
#: One of the two in turn; ``make sweep`` takes both.
WITH_STRIDES = list(
    itertools.product(WITH_ALL_MAPS, (8, 16)) if SWEEP else zip(WITH_ALL_MAPS, itertools.cycle((8, 16)))
)


@pytest.mark.parametrize(("name", "output_stride"), WITH_STRIDES)
def test_deeplabv3plus_on_dilatable_backbones(name: str, output_stride: int) -> None:
    """C5 at the output stride and C2 into the head, C4 into the auxiliary one; all of it learns."""
    channels = mmbackbones.get_spec(name).channels
    backbone = quick(name, output_stride=output_stride, norm_eval=True)
    common = dict(num_classes=5, norm_cfg=dict(type="GN", num_groups=4), channels=16)
    head = build(
        dict(
            type="mmseg.DepthwiseSeparableASPPHead",
            in_channels=channels[32],
            in_index=3,
            dilations=(1, 6, 12, 18),
            c1_in_channels=channels[4],
            c1_channels=8,
            **common,
        )
    )
    auxiliary = build(dict(type="mmseg.FCNHead", in_channels=channels[16], in_index=2, num_convs=1, **common))
    maps, truth = backbone(torch.randn(1, 3, 64, 96)), samples(64, 96)[:1]
    assert maps[3].shape[2:] == (64 // output_stride, 96 // output_stride)
    assert head(maps).shape == (1, 5, 16, 24)
    losses = {**head.loss(maps, truth, None), "aux": auxiliary.loss(maps, truth, None)["loss_ce"]}
    (losses["loss_ce"] + losses["aux"]).backward()
    assert all(v.grad is not None for net in (backbone, head, auxiliary) for v in net.parameters())
