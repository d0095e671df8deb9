"""mmbackbones.FPN: weight for weight mmdet's, with errors that say what to write."""

from __future__ import annotations

import copy

import pytest
import torch

from mmbackbones.errors import InputError
from mmbackbones.necks import FPN
from mmbackbones.registry import MODELS

CHANNELS = [8, 16, 24, 32]
GN = dict(type="GN", num_groups=4)
CASES = {
    "plain": dict(num_outs=4),
    "faster-rcnn": dict(num_outs=5),
    "two-pooled": dict(num_outs=6),
    "on-input": dict(num_outs=6, start_level=1, add_extra_convs=True),
    "on-lateral": dict(num_outs=5, start_level=1, add_extra_convs="on_lateral"),
    "on-output-relu": dict(
        num_outs=6, start_level=1, add_extra_convs="on_output", relu_before_extra_convs=True
    ),
    "on-input-relu": dict(num_outs=6, add_extra_convs="on_input", relu_before_extra_convs=True),
    "some-levels": dict(num_outs=2, start_level=1, end_level=2),
    "end-level-is-last": dict(num_outs=5, end_level=3, add_extra_convs="on_input"),
    "extra-convs-without-extra-levels": dict(num_outs=3, start_level=1, add_extra_convs="on_output"),
    "bn": dict(num_outs=5, norm_cfg=dict(type="BN", requires_grad=False)),
    "bn-not-on-lateral": dict(num_outs=5, norm_cfg=dict(type="BN", eps=1e-3), no_norm_on_lateral=True),
    "sync-bn": dict(num_outs=5, norm_cfg=dict(type="SyncBN"), add_extra_convs="on_output"),
    "gn-relu": dict(num_outs=5, norm_cfg=GN, act_cfg=dict(type="ReLU"), add_extra_convs="on_input"),
    "leaky": dict(num_outs=4, act_cfg=dict(type="LeakyReLU", negative_slope=0.2)),
    "bilinear": dict(num_outs=5, upsample_cfg=dict(mode="bilinear", align_corners=False)),
    "scale-factor": dict(num_outs=5, upsample_cfg=dict(scale_factor=2, mode="nearest")),
}
EVEN = [(32, 48), (16, 24), (8, 12), (4, 6)]
ODD = [(33, 47), (17, 24), (9, 12), (5, 6)]


def maps(sizes: list[tuple[int, int]] = EVEN, channels: list[int] = CHANNELS) -> list[torch.Tensor]:
    return [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]


@pytest.fixture(scope="module")
def originals() -> type:
    from mmdet.models import necks

    return necks.FPN


@pytest.mark.parametrize("case", CASES)
def test_equals_mmdet(case: str, originals: type) -> None:
    args = dict(in_channels=CHANNELS, out_channels=16, **CASES[case])
    theirs, ours = originals(**copy.deepcopy(args)), FPN(**copy.deepcopy(args))
    theirs.init_weights()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    trained = {n for n, p in theirs.named_parameters() if p.requires_grad}
    assert {n for n, p in ours.named_parameters() if p.requires_grad} == trained
    for sizes in [EVEN] if case == "scale-factor" else [EVEN, ODD]:  # a factor fits even sizes only
        inputs = maps(sizes)
        for training in (True, False):
            expected, got = theirs.train(training)(inputs), ours.train(training)(inputs)
            assert len(got) == len(expected) == args["num_outs"]
            for a, b in zip(got, expected, strict=True):
                assert a.shape == b.shape
                torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_every_parameter_gets_a_gradient() -> None:
    for case, args in CASES.items():
        neck = FPN(CHANNELS, 16, **args)
        sum(m.square().mean() for m in neck(maps())).backward()
        lost = [n for n, p in neck.named_parameters() if p.requires_grad and p.grad is None]
        assert not lost, (case, lost)


def test_frozen_bn_keeps_its_statistics() -> None:
    neck = FPN(CHANNELS, 16, 4, norm_cfg=dict(type="FrozenBN")).train()
    before = copy.deepcopy(neck.state_dict())
    assert "fpn_convs.0.bn.running_var" in before
    neck(maps())
    assert all(torch.equal(value, before[key]) for key, value in neck.state_dict().items())
    assert all("bn" not in name for name, _ in neck.named_parameters())


@pytest.mark.parametrize("levels", [1, 2, 3, 6])
def test_any_number_of_levels(levels: int) -> None:
    channels = [4 * (i + 1) for i in range(levels)]
    neck = FPN(channels, 8, num_outs=levels + 1)
    sizes = [(-(-67 // 2**i), -(-101 // 2**i)) for i in range(levels)]
    outs = neck(maps(sizes, channels))
    assert [tuple(m.shape[2:]) for m in outs[:-1]] == sizes
    assert {m.shape[1] for m in outs} == {neck.out_channels} == {8}


def test_registered_and_initialised() -> None:
    neck = MODELS.build(dict(type="mmbackbones.FPN", in_channels=CHANNELS, out_channels=64, num_outs=5))
    assert MODELS.get("mmbackbones.FPN") is FPN
    neck.init_weights()
    for conv in (*neck.lateral_convs, *neck.fpn_convs):
        weight = conv.conv.weight
        fan_in, fan_out = weight[0].numel(), weight[:, 0].numel()
        assert weight.abs().max() <= (6 / (fan_in + fan_out)) ** 0.5  # Xavier, uniform
        assert not conv.conv.bias.any()


def test_config_is_left_alone() -> None:
    config = dict(
        in_channels=list(CHANNELS),
        norm_cfg=dict(type="GN", num_groups=4, requires_grad=False),
        act_cfg=dict(type="ReLU"),
        upsample_cfg=dict(mode="nearest"),
        init_cfg=dict(type="Normal", layer="Conv2d", std=0.01),
    )
    before = copy.deepcopy(config)
    FPN(out_channels=16, num_outs=5, **config).init_weights()
    assert config == before


@pytest.mark.parametrize(
    ("arrived", "advice"),
    [
        ([16, 32, 64, 128], r"maps of \[8, 16, 24, 32\] .* write in_channels=\[16, 32, 64, 128\]"),
        ([8, 16, 24], r"write in_channels=\[8, 16, 24\]"),
    ],
)
def test_maps_that_do_not_fit(arrived: list[int], advice: str) -> None:
    with pytest.raises(InputError, match=advice):
        FPN(CHANNELS, 16, 5)(maps(EVEN[: len(arrived)], arrived))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (dict(num_outs=3), "num_outs=3, but levels 0 to 3 give 4 maps: write num_outs=4 or more"),
        (dict(num_outs=4, end_level=1), "write num_outs=2 .*need end_level=-1"),
        (dict(num_outs=5, end_level=4), "end_level=4 pick no maps: .*<= 3"),
        (dict(num_outs=5, start_level=4), "start_level=4"),
        (
            dict(num_outs=5, add_extra_convs="on_outputs"),
            "'on_outputs': write False, True or one of .*'on_output'",
        ),
        (dict(num_outs=5, norm_cfg=dict(type="SynchBN")), "'SynchBN' is unknown. Allowed: BN, SyncBN, GN"),
        (dict(num_outs=5, norm_cfg=dict(num_groups=2)), "type None is unknown"),
        (dict(num_outs=5, norm_cfg=dict(type="BN", num_groups=2)), "BN has no .'num_groups'"),
        (dict(num_outs=5, act_cfg=dict(type="Relu")), "'Relu'. Allowed .*, ReLU,"),
    ],
)
def test_bad_arguments(args: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FPN(CHANNELS, 16, **args)


def test_unknown_argument() -> None:
    with pytest.raises(TypeError, match="num_out'"):
        FPN(CHANNELS, 16, num_out=5)


def test_compiles_without_breaks_and_runs_in_bf16() -> None:
    neck = FPN(CHANNELS, 16, 6, start_level=1, add_extra_convs="on_output").eval()
    inputs = maps(ODD)
    compiled = torch.compile(neck, backend="eager", fullgraph=True)
    for a, b in zip(compiled(inputs), neck(inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert {m.dtype for m in neck(inputs)} == {torch.bfloat16}
