"""Decode heads for segmentation: what they refuse; maps before the activation; shifted windows."""

from __future__ import annotations

import copy

import pytest
import torch
from head_cases import NARROW, R18, UNETPP, build, maps
from torch import nn

import mmbackbones
from mmbackbones.errors import InputError
from mmbackbones.registry import MODELS

# --- maps before the activation


def test_maps_of_resnet_before_their_last_relu() -> None:
    cfg = dict(type="mmbackbones.PreActivationBackbone", name="resnet18")
    net = copy.deepcopy(MODELS.build(cfg)).eval()  # a copy keeps its own maps
    for block in (net.layer1[1], net.layer4[1]):
        nn.init.uniform_(block.bn2.weight, 1, 2)
    x = torch.randn(1, 3, 64, 64)
    found = net(x)
    sums = net.maxpool(net.act1(net.bn1(net.conv1(x))))
    for stage, got in zip((net.layer1, net.layer2, net.layer3, net.layer4), found, strict=True):
        block, before = stage[1], stage[0](sums)
        sums = block.bn2(block.conv2(block.bn1(block.conv1(before)).relu())) + before
        torch.testing.assert_close(got, sums, atol=1e-5, rtol=1e-5)
        sums = sums.relu()
    assert (found[0] < 0).any()
    assert (found[3] < 0).any()


def test_maps_without_an_activation_stay() -> None:
    cfg = dict(type="mmbackbones.PreActivationBackbone", name="mobilenetv2_035")
    net = MODELS.build(cfg).eval()
    assert net.before_activation == (False,) * 4
    ordinary = mmbackbones.build("mobilenetv2_035").eval()
    ordinary.load_state_dict(net.state_dict())
    x = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(net(x), ordinary(x), strict=True))
    with pytest.raises(InputError, match="with_cp"):
        MODELS.build({**cfg, "with_cp": True})


# --- shifted windows


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"])
def test_shifted_windows_do_not_join_top_and_bottom(name: str) -> None:
    """Windows of 7 cells do not divide a map of 32; stage 1 reads at most two windows far."""
    net = mmbackbones.build(name, out_strides=(4,), net_kwargs=dict(window_size=7)).eval()
    for module in net.modules():
        if isinstance(module, nn.LayerNorm):  # SwinV2's start at 0, which hides the attention
            module.reset_parameters()
    x = torch.randn(1, 3, 128, 128, requires_grad=True)
    net(x)[0][:, :, :2].square().sum().backward()
    rows = x.grad.abs().sum(dim=(0, 1, 3))
    assert rows[0] > 0
    assert rows[-30:].max() < 1e-6 * rows[0]  # a mask of -100 leaves 1e-40


# --- what is refused

WRONG = {
    "one map": ({**UNETPP, "in_channels": [8]}, "2 maps or more"),
    "a number": ({**UNETPP, "in_channels": 8}, "in_channels=8"),
    "index": ({**UNETPP, "in_index": [0, 1]}, "picks 2 maps"),
    "widths": ({**UNETPP, "decoder_channels": (8, 8)}, "write 3 widths"),
    "prune": ({**UNETPP, **NARROW, "prune": 2}, "deep_supervision=True"),
    "too deep": ({**UNETPP, **NARROW, "deep_supervision": True, "prune": 4}, "the last is 3"),
    "window": ({**UNETPP, **NARROW, "head_kernel_size": 2}, "must be odd"),
    "norm": ({**UNETPP, **NARROW, "norm_cfg": dict(type="XN")}, "BN, SyncBN"),
    "strides": (
        dict(type="mmbackbones.BiSeNet", backbone_cfg=dict(type="mmbackbones.mobilenetv2_035")),
        r"out_strides=\(16, 32\)",
    ),
    "spatial": (
        dict(type="mmbackbones.BiSeNet", backbone_cfg={}, spatial_channels=(8, 8)),
        "write four",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_says_what_to_write(case: str) -> None:
    cfg, message = WRONG[case]
    with pytest.raises(InputError, match=message):
        build(cfg)


@pytest.mark.parametrize("kind", ["UNetPlusPlusHead", "SwiftNetHead"])
def test_a_stride_that_is_absent_or_another_backbone(kind: str) -> None:
    """Five maps are asked for, a backbone without stride 2 gives four."""
    head = build(dict(type=f"mmbackbones.{kind}", in_channels=R18, num_classes=5))
    with pytest.raises(InputError, match=r"in_index=\[0, 1, 2, 3, 4\], but 4 arrive: ask the backbone"):
        head(maps(R18[1:], first=2))
    with pytest.raises(InputError, match=r"\[64, 64, 128, 256, 64\] arrive"):
        head(maps([*R18[:4], 64]))


def test_pair_names_the_strides_of_a_net_without_stride_2() -> None:
    with pytest.raises(InputError, match=r"strides \(4, 8, 16, 32\) only"):
        mmbackbones.pair("swin_tiny_patch4_window7_224", neck=None, strides=(2, 4, 8, 16, 32))
