"""What the tests of necks share: small necks and the maps that fit them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmbackbones.necks import PAFPN, BiFPN, SimpleFeaturePyramid, ToStrides

CHANNELS = [8, 16, 24, 32]
GN = dict(type="GN", num_groups=4)
NORMS = [dict(type="BN"), dict(type="SyncBN"), GN, dict(type="FrozenBN"), dict(type="LN"), None]

PAFPN_CASES = {
    "plain": dict(num_outs=4),
    "pooled": dict(num_outs=6),
    "on-input": dict(num_outs=6, start_level=1, add_extra_convs=True, relu_before_extra_convs=True),
    "on-lateral": dict(num_outs=5, add_extra_convs="on_lateral"),
    "on-output": dict(num_outs=5, start_level=1, add_extra_convs="on_output"),
    "some-levels": dict(num_outs=2, start_level=1, end_level=2),
    "one-level": dict(num_outs=1, start_level=3),
    "bn-not-on-lateral": dict(num_outs=5, norm_cfg=dict(type="BN", eps=1e-3), no_norm_on_lateral=True),
    "gn-relu": dict(num_outs=5, norm_cfg=GN, act_cfg=dict(type="ReLU"), add_extra_convs="on_input"),
}

# Each neck in its smallest useful form, with the channels that it takes.
SMALL = {
    "PAFPN": (PAFPN, CHANNELS, dict(out_channels=16, num_outs=6, add_extra_convs="on_output")),
    "BiFPN": (BiFPN, CHANNELS, dict(out_channels=16, num_outs=5, num_repeats=2)),
    "SimpleFeaturePyramid": (SimpleFeaturePyramid, [32], dict(out_channels=16)),
    "ToStrides": (ToStrides, CHANNELS, dict(out_channels=12, out_strides=(2, 4, 16, 64), learned=True)),
}
EACH = pytest.mark.parametrize("name", SMALL)


def build(name: str, **more: object) -> nn.Module:
    kind, channels, args = SMALL[name]
    return kind(channels, **{**args, **more})


def ceil_div(pixels: int, stride: int) -> int:
    return -(-pixels // stride)


def maps(
    channels: list[int], strides: tuple[int, ...] = (4, 8, 16, 32), image: tuple = (117, 171)
) -> list[Tensor]:
    pairs = zip(channels, strides, strict=True)
    return [torch.randn(2, c, *(ceil_div(side, s) for side in image)) for c, s in pairs]


def fitting(name: str) -> list[Tensor]:
    channels = SMALL[name][1]
    return maps(channels) if len(channels) == 4 else maps(channels, (16,))


def sizes(outs: tuple[Tensor, ...]) -> list[tuple[int, int]]:
    return [tuple(m.shape[2:]) for m in outs]
