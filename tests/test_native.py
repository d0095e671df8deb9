"""Networks written here: exact and centred maps, dilation, gradients, fresh weights."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from native_cases import CASES, NAMES, Case, size_of, still_random
from torch import nn

from mmbackbones.native.attention import GlobalGate
from mmbackbones.sources import FeatureNet, open_net
from mmbackbones.surgery.dilation import dilate
from mmbackbones.tracing.trace import Trace, meta_copy, trace


@pytest.fixture(scope="module", params=NAMES)
def swept(request: pytest.FixtureRequest) -> tuple[Case, FeatureNet, Trace]:
    """One network after another as repaired backbone with its record; not to be changed."""
    case = CASES[request.param]
    torch.manual_seed(0)
    feature_net = open_net("native", case.net, 3, case.arguments)
    return case, feature_net, trace(feature_net, 3)


def test_the_backbone_ends_at_the_last_tap(swept: tuple[Case, FeatureNet, Trace]) -> None:
    case, feature_net, found = swept
    assert found.channels == case.channels
    assert size_of(feature_net.net) == case.params
    assert found.needed == {key for key, _ in feature_net.net.named_parameters()}
    assert found.taps[max(found.taps)] == feature_net.taps - 1


def test_maps_have_exact_sizes(swept: tuple[Case, FeatureNet, Trace]) -> None:
    case, feature_net, found = swept
    assert found.multiple == 1
    twin = meta_copy(feature_net)
    for height, width in [(64, 95), (333, 517)]:
        maps = twin.run(torch.empty(1, 3, height, width, device="meta"), list(found.taps.values()))
        for fmap, (stride, channels) in zip(maps, case.channels.items(), strict=True):
            assert fmap.shape == (1, channels, math.ceil(height / stride), math.ceil(width / stride))


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


def offsets(feature_net: FeatureNet, found: Trace) -> dict[int, float]:
    """For each stride how far the gradient's centre of a middle cell lies from the cell's, in pixels."""
    cells, side = 4, 4 * 32 * 2 + 1
    x = torch.ones(1, 3, side, side, requires_grad=True)
    rows = torch.arange(side) + 0.5
    away = {}
    maps = feature_net.run(x, list(found.taps.values()))
    for stride, fmap in zip(found.taps, maps, strict=True):
        cell = cells * 32 // stride
        (grad,) = torch.autograd.grad(fmap[0, :, cell, cell].sum(), x, retain_graph=True)
        weight = grad.abs().sum((0, 1))
        target = (cell + 0.5) * stride
        centres = [(weight.sum(1 - axis) * rows).sum() / weight.sum() for axis in (0, 1)]
        away[stride] = max(abs(float(centre) - target) for centre in centres)
    return away


def test_cells_look_at_their_own_pixels(swept: tuple[Case, FeatureNet, Trace]) -> None:
    _, feature_net, found = copy.deepcopy(swept)
    averaging(feature_net.net.eval())
    for stride, away in offsets(feature_net, found).items():
        assert away <= stride / 2, (stride, away)


def test_without_repair_cells_look_elsewhere() -> None:
    found = trace(open_net("native", "zfnet.zfnet", 3, {}), 3)
    original = open_net("native", "zfnet.zfnet", 3, {"repair_padding": False})
    averaging(original.net.eval())
    assert offsets(original, found)[32] > 16


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_maps_sampled_are_the_ordinary_ones(
    swept: tuple[Case, FeatureNet, Trace], output_stride: int
) -> None:
    case, feature_net, found = swept
    plain, dilated = copy.deepcopy(feature_net), copy.deepcopy(feature_net)
    dilate(dilated.net, found, output_stride)
    for net in (plain, dilated):
        still_random(net.net.eval())
    x = torch.randn(1, 3, 99, 128)
    taps = list(found.taps.values())
    away = []
    with torch.no_grad():
        for stride, ordinary, dense in zip(found.taps, plain.run(x, taps), dilated.run(x, taps), strict=True):
            real = min(stride, output_stride)
            assert dense.shape[-2:] == (math.ceil(99 / real), math.ceil(128 / real))
            step = stride // real
            assert ordinary.std() > 0
            away.append((dense[..., ::step, ::step] - ordinary).abs().max() / ordinary.abs().max())
    assert (max(away) <= 1e-4) == case.dilatable, away


def test_every_parameter_has_a_gradient(swept: tuple[Case, FeatureNet, Trace]) -> None:
    net = copy.deepcopy(swept[1].net).train()
    (net(torch.randn(2, 3, 64, 64)) ** 2).mean().backward()
    assert [key for key, param in net.named_parameters() if param.grad is None] == []
    assert any(param.grad.abs().sum() > 0 for param in net.parameters())


def test_fresh_weights_keep_the_values_in_range(swept: tuple[Case, FeatureNet, Trace]) -> None:
    """Batch norms of a fresh net know no data, so sums of blocks may grow; SE gates halve, which is right."""
    _, feature_net, found = swept
    net = copy.deepcopy(feature_net)
    net.net.eval()
    with torch.no_grad():
        for fmap in net.run(torch.randn(1, 3, 96, 96), list(found.taps.values())):
            assert 0 < float(fmap.std()) < 300
