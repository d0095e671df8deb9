"""SimpleFeaturePyramid (arXiv 2203.16527)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from neck_cases import ceil_div, maps, sizes
from torch import Tensor, nn

from mmbackbones.errors import InputError
from mmbackbones.necks import SimpleFeaturePyramid


def test_simple_feature_pyramid_equals_the_papers_layers() -> None:
    neck = SimpleFeaturePyramid([32], 8)
    for parameter in neck.parameters():
        nn.init.normal_(parameter, 0.1, 0.4)
    state = neck.state_dict()  # detectron2's names
    used = set()

    def take(key: str) -> Tensor:
        used.add(key)
        return state[key]

    def norm(x: Tensor, key: str) -> Tensor:
        mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)
        scale, shift = (take(f"{key}.{which}")[:, None, None] for which in ("weight", "bias"))
        return (x - mean) / (var + 1e-6).sqrt() * scale + shift

    def up(x: Tensor, key: str) -> Tensor:
        return F.conv_transpose2d(x, take(f"{key}.weight"), take(f"{key}.bias"), stride=2)

    def ends(x: Tensor, first: int, stage: int) -> Tensor:
        keys = (f"simfp_{stage}.{first}", f"simfp_{stage}.{first + 1}")
        x = norm(F.conv2d(x, take(f"{keys[0]}.weight")), f"{keys[0]}.norm")
        return norm(F.conv2d(x, take(f"{keys[1]}.weight"), padding=1), f"{keys[1]}.norm")

    x = torch.randn(2, 32, 6, 4)
    p2 = up(F.gelu(norm(up(x, "simfp_2.0"), "simfp_2.1")), "simfp_2.3")
    p5 = ends(F.max_pool2d(x, 2), 1, 5)
    expected = [ends(p2, 4, 2), ends(up(x, "simfp_3.0"), 1, 3), ends(x, 0, 4), p5, p5[..., ::2, ::2]]
    torch.testing.assert_close(list(neck([x])), expected, rtol=1e-4, atol=1e-4)
    assert used == set(state)


@pytest.mark.parametrize(
    ("args", "strides"),
    [
        ({}, (4, 8, 16, 32, 64)),
        (dict(num_outs=6), (4, 8, 16, 32, 64, 128)),
        (dict(num_outs=1, out_strides=(2,)), (2,)),
        (dict(num_outs=2, out_strides=(8, 32)), (8, 32)),
        (dict(num_outs=3, out_strides=(16, 64)), (16, 64, 128)),
        (dict(num_outs=4, in_stride=8, out_strides=(4, 8, 16, 32)), (4, 8, 16, 32)),
    ],
)
def test_simple_feature_pyramid_strides(args: dict, strides: tuple[int, ...]) -> None:
    neck = SimpleFeaturePyramid([32], 8, **args)
    stride = args.get("in_stride", 16)
    image = (7 * stride, 5 * stride)  # odd cells
    outs = neck(maps([32], (stride,), image))
    assert sizes(outs) == [(ceil_div(image[0], s), ceil_div(image[1], s)) for s in strides]


def test_simple_feature_pyramid_takes_the_last_of_more_maps() -> None:
    neck = SimpleFeaturePyramid([8, 32], 8)
    fine, last = maps([8, 32], (8, 16))
    outs = neck((fine, last))
    assert sizes(outs)[2] == tuple(last.shape[2:])
    torch.testing.assert_close(neck((fine + 1, last)), outs, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (dict(num_outs=3), r"num_outs=3, but out_strides=\(4, 8, 16, 32\) are 4 levels: write num_outs=4"),
        (dict(in_stride=14), "in_stride=14 .*write powers of two"),
        (dict(out_strides=(8, 4)), r"out_strides=\(8, 4\): write powers of two, fine to coarse"),
        (dict(out_strides=()), r"out_strides=\(\)"),
        (dict(out_strides=(1, 16)), "8 channels cannot be halved down to stride 1"),
    ],
)
def test_simple_feature_pyramid_bad_arguments(args: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SimpleFeaturePyramid([8], 16, **args)
