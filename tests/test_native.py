"""Networks written here: figures, exact and centred maps, original geometry, dilation, gradients."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

from mmbackbones.dilation import dilate
from mmbackbones.errors import InputError
from mmbackbones.native.attention import (
    CBAM,
    EfficientChannelAttention,
    GlobalGate,
    SqueezeExcite,
    embed_attention,
    make_attention,
)
from mmbackbones.sources import Tapped, open_net
from mmbackbones.trace import Trace, trace


@dataclass(frozen=True)
class Case:
    """Published or executed figures of one network, as reference tables list them."""

    net: str
    channels: dict[int, int]
    params: int  # to the last tap, at three channels
    whole: int  # with the classifier, at the `channels_in` and `classes` below
    arguments: dict[str, Any] = field(default_factory=dict)
    channels_in: int = 3
    classes: int = 1000
    dilatable: bool = True
    size: int = 0  # where the original geometry has the cells below; 0: it is the repaired one
    cells: dict[str, int] = field(default_factory=dict)


CASES = {
    "lenet5": Case(
        "lenet.lenet5", {2: 6, 4: 16}, 2_872, 61_706, channels_in=1, classes=10,
        size=32, cells={"stage1": 14, "stage2": 5},
    ),
    "alexnet_original": Case(
        "alexnet.alexnet_original", {4: 96, 8: 256, 16: 256, 32: 256}, 2_334_080, 60_965_224,
        size=227, cells={"relu1": 55, "relu2": 27, "relu5": 13, "pool5": 6},
    ),
    "zfnet": Case(
        "zfnet.zfnet", {2: 96, 4: 96, 8: 256, 16: 256, 32: 256}, 3_726_464, 62_357_608,
        size=224, cells={"relu1": 110, "pool1": 55, "relu2": 26, "relu5": 13, "pool5": 6},
    ),
    "overfeat_fast": Case(
        "overfeat.overfeat_fast", {4: 96, 8: 256, 16: 1024, 32: 1024}, 15_987_584, 145_920_872,
        size=231, cells={"relu1": 56, "pool1": 28, "relu2": 24, "pool2": 12, "relu5": 12, "pool5": 6},
    ),
    "nin": Case(
        "nin.nin", {4: 96, 8: 256, 16: 384, 32: 1024}, 6_570_176, 7_595_176,
        size=224, cells={"conv1": 54, "pool1": 27, "pool2": 13, "pool3": 6, "cccp7": 6},
    ),
    "googlenet_original": Case(
        "googlenet.googlenet_original", {2: 64, 4: 192, 8: 480, 16: 832, 32: 1024}, 5_973_552, 6_998_552,
        size=224, cells={"conv1": 112, "conv2": 56, "inception3b": 28, "inception4e": 14, "inception5b": 7},
    ),
    "bn_inception": Case(
        "bn_inception.bn_inception", {2: 64, 4: 192, 8: 320, 16: 608, 32: 1024}, 10_270_240, 11_295_240,
        size=224, cells={"conv1": 112, "conv2": 56, "inception3b": 28, "inception4d": 14, "inception5b": 7},
    ),
    "bn_inception without idle biases": Case(
        "bn_inception.bn_inception", {2: 64, 4: 192, 8: 320, 16: 608, 32: 1024}, 10_260_224, 11_285_224,
        arguments={"conv_bias": False},
    ),
    "se_bn_inception": Case(
        "bn_inception.bn_inception", {2: 64, 4: 192, 8: 320, 16: 608, 32: 1024}, 10_906_622, 11_931_622,
        arguments={"conv_bias": False, "attention": "se"},
    ),
}  # fmt: skip
NAMES = list(CASES)
ORIGINAL = [name for name, case in CASES.items() if case.cells]


def make(case: Case, **arguments: Any) -> nn.Module:
    file, function = case.net.split(".")
    builder = getattr(import_module(f"mmbackbones.native.{file}"), function)
    return builder(**{**case.arguments, **arguments})


@cache
def opened(name: str) -> tuple[Tapped, Trace]:
    """The repaired backbone with its record; not to be changed."""
    torch.manual_seed(0)
    tapped = open_net("native", CASES[name].net, 3, CASES[name].arguments)
    return tapped, trace(tapped, 3)


def size_of(net: nn.Module) -> int:
    return sum(param.numel() for param in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_parameters_with_the_classifier_are_the_published_ones(name: str) -> None:
    case = CASES[name]
    with torch.device("meta"):
        net = make(case, in_channels=case.channels_in, num_classes=case.classes).eval()
        assert size_of(net) == case.whole
        x = torch.empty(2, case.channels_in, 224, 224)
        assert net(x).shape == (2, case.classes)


@pytest.mark.parametrize("name", NAMES)
def test_the_backbone_ends_at_the_last_tap(name: str) -> None:
    tapped, found = opened(name)
    assert found.channels == CASES[name].channels
    assert size_of(tapped.net) == CASES[name].params
    assert found.needed == {key for key, _ in tapped.net.named_parameters()}
    assert found.taps[max(found.taps)] == tapped.taps - 1


@pytest.mark.parametrize("name", NAMES)
def test_maps_have_exact_sizes(name: str) -> None:
    tapped, found = opened(name)
    assert found.exact
    net = copy.deepcopy(tapped)
    net.net.to("meta").eval()
    for height, width in [(64, 64), (65, 95), (97, 133), (224, 224), (333, 517), (79, 256)]:
        maps = net.run(torch.empty(1, 3, height, width, device="meta"), list(found.taps.values()))
        for fmap, (stride, channels) in zip(maps, CASES[name].channels.items(), strict=True):
            assert fmap.shape == (1, channels, math.ceil(height / stride), math.ceil(width / stride))


@pytest.mark.parametrize("name", ORIGINAL)
def test_without_repair_the_maps_are_the_papers(name: str) -> None:
    case = CASES[name]
    with torch.device("meta"):
        net = make(case, in_channels=case.channels_in, num_classes=case.classes, repair_padding=False)
        x = torch.empty(1, case.channels_in, case.size, case.size)
        cells = {}
        for step in net.steps:
            x = net.get_submodule(step)(x)
            cells[step] = x.shape[-1]
        assert net.eval()(torch.empty(1, case.channels_in, case.size, case.size)).shape == (1, case.classes)
    assert {step: cells[step] for step in case.cells} == case.cells


@pytest.mark.parametrize("name", ORIGINAL)
def test_repair_changes_no_weight(name: str) -> None:
    case = CASES[name]
    with torch.device("meta"):
        repaired, original = (make(case, num_classes=10, repair_padding=flag) for flag in (True, False))
    shapes = [{key: value.shape for key, value in net.state_dict().items()} for net in (repaired, original)]
    assert shapes[0] == shapes[1]


def averaging(net: nn.Module) -> None:
    """Make every layer a plain average, so that a gradient's centroid is where the windows lie."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv1d)):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.MaxPool2d):
            average = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode, False)
            module.forward = average.forward
        elif isinstance(module, GlobalGate):
            module.forward = lambda x: x


def offsets(tapped: Tapped, found: Trace) -> dict[int, float]:
    """For each stride how far the gradient's centre of a middle cell lies from the cell's, in pixels."""
    cells, side = 4, 4 * 32 * 2 + 1
    x = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    rows = torch.arange(side) + 0.5
    away = {}
    maps = tapped.run(x, list(found.taps.values()))
    for stride, fmap in zip(found.taps, maps, strict=True):
        cell = cells * 32 // stride
        (grad,) = torch.autograd.grad(fmap[0, :, cell, cell].sum(), x, retain_graph=True)
        weight = grad.abs().sum((0, 1))
        target = (cell + 0.5) * stride
        centres = [(weight.sum(1 - axis) * rows).sum() / weight.sum() for axis in (0, 1)]
        away[stride] = max(abs(float(centre) - target) for centre in centres)
    return away


@pytest.mark.parametrize("name", NAMES)
def test_cells_look_at_their_own_pixels(name: str) -> None:
    tapped, found = copy.deepcopy(opened(name))
    averaging(tapped.net.double().eval())
    for stride, away in offsets(tapped, found).items():
        assert away <= stride / 2, (stride, away)


def test_without_repair_cells_look_elsewhere() -> None:
    _, found = opened("zfnet")
    tapped = open_net("native", "zfnet.zfnet", 3, {"repair_padding": False})
    averaging(tapped.net.double().eval())
    away = offsets(tapped, found)
    assert away[32] > 16


def still_random(net: nn.Module) -> None:
    """Fixed random statistics for batch norms, and gates that read the whole map held open."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
        elif isinstance(module, GlobalGate):
            module.forward = lambda x: x


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", [name for name in NAMES if CASES[name].dilatable])
def test_dilated_maps_sampled_are_the_ordinary_ones(name: str, output_stride: int) -> None:
    tapped, found = opened(name)
    plain, dilated = copy.deepcopy(tapped), copy.deepcopy(tapped)
    dilate(dilated.net, found, output_stride)
    for net in (plain, dilated):
        still_random(net.net.eval())
    x = torch.randn(1, 3, 99, 128)
    taps = list(found.taps.values())
    with torch.no_grad():
        pairs = zip(found.taps, plain.run(x, taps), dilated.run(x, taps), strict=True)
        for stride, ordinary, dense in pairs:
            real = min(stride, output_stride)
            assert dense.shape[-2:] == (math.ceil(99 / real), math.ceil(128 / real))
            step = stride // real
            assert (dense[..., ::step, ::step] - ordinary).abs().max() <= 1e-4 * ordinary.abs().max()
            assert ordinary.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_gradient(name: str) -> None:
    net = copy.deepcopy(opened(name)[0].net).train()
    (net(torch.randn(2, 3, 64, 64)) ** 2).mean().backward()
    assert [key for key, param in net.named_parameters() if param.grad is None] == []
    assert any(param.grad.abs().sum() > 0 for param in net.parameters())


def test_googlenets_auxiliary_classifiers_are_extra_outputs_in_training() -> None:
    with torch.device("meta"):
        net = make(CASES["googlenet_original"], num_classes=1000, aux_logits=True)
        x = torch.empty(2, 3, 224, 224)
        assert size_of(net) == 13_378_280  # Caffe's bvlc_googlenet with both heads
        assert [logits.shape for logits in net.train()(x)] == [(2, 1000)] * 3
        assert net.eval()(x).shape == (2, 1000)
    with pytest.raises(InputError, match="num_classes"):
        make(CASES["googlenet_original"], aux_logits=True)


@pytest.mark.parametrize(
    ("gate", "params"),
    [
        (SqueezeExcite(64), 2 * 64 * 4 + 4 + 64),
        (CBAM(64), 2 * 64 * 4 + 4 + 64 + 98 + 2),
        (EfficientChannelAttention(64), 3),
        (EfficientChannelAttention(512), 5),
    ],
)
def test_attention_weights_a_map(gate: nn.Module, params: int) -> None:
    assert size_of(gate) == params
    x = torch.randn(2, 512 if params == 5 else 64, 5, 7)
    y = gate.eval()(x)
    assert y.shape == x.shape
    ratio = y / x
    assert bool(((ratio > 0) & (ratio < 1)).all())
    by_cell = ratio.std((2, 3)).max()
    assert (by_cell > 1e-4) == isinstance(gate, CBAM)
    assert ratio.std(1).max() > 1e-4


def test_se_is_timms() -> None:
    from timm.layers import SEModule

    ours, theirs = SqueezeExcite(64), SEModule(64, rd_channels=4)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 64, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def test_eca_is_timms() -> None:
    from timm.layers import EcaModule

    for channels in (64, 256, 2048):
        ours, theirs = EfficientChannelAttention(channels), EcaModule(channels)
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(2, channels, 5, 7)
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("kind", ["se", "cbam", "eca"])
def test_attention_goes_into_every_residual_block(kind: str) -> None:
    import timm

    for name, blocks in (("resnet18", 8), ("resnext50_32x4d", 16)):
        with torch.device("meta"):
            net = timm.create_model(name, num_classes=0)
            plain = size_of(net)
            embed_attention(net, kind)
            gates = [module for module in net.modules() if isinstance(module, type(make_attention(kind, 64)))]
            assert len(gates) == blocks
            assert size_of(net) == plain + sum(map(size_of, gates))
            assert net(torch.empty(1, 3, 64, 64)).shape[-1] == net.num_features
            with pytest.raises(InputError, match="none yet"):
                embed_attention(net, kind)


def test_attention_that_is_not_known_is_named() -> None:
    with pytest.raises(InputError, match="'sse'.*'se', 'cbam', 'eca'"):
        make_attention("sse", 64)
    with pytest.raises(InputError, match="resnext"):
        embed_attention(nn.Sequential(nn.Conv2d(3, 3, 3)), "se")
