"""Networks written here: the papers' figures and cells, and the same nets of timm and torchvision."""

from __future__ import annotations

import itertools
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch
from native_cases import CASES, NAMES, Case, size_of, still_random
from torch import nn

from mmbackbones.catalog.rows import ROWS
from mmbackbones.errors import InputError
from mmbackbones.feature_nets.specs import get_spec
from mmbackbones.native.attention import CBAM

ORIGINAL = [name for name, case in CASES.items() if case.cells]
#: Network, arguments, parameters to the last tap and with a classifier of 1000 classes.
VARIANTS = [
    ("bn_inception", {"conv_bias": False}, 10_260_224, 11_285_224),
    ("se_inception_resnet_v2", {"attention": None}, 54_306_464, 55_843_464),
    ("attention56", {"modules": (1, 2, 3)}, 50_417_344, 52_466_344),  # Attention-92
    ("mobilenetv1_025", {"width": 0.5}, 818_592, 1_331_592),
    ("mobilenetv1_025", {"width": 0.75}, 1_816_560, 2_585_560),
    ("mobilenetv1_025", {"width": 1.0}, 3_206_976, 4_231_976),
    ("shufflenet_v1_g3", {"width": 0.5}, 237_324, 717_324),
    ("shufflenet_v1_g3", {"width": 1.5}, 2_001_168, 3_441_168),
    ("shufflenet_v1_g3", {"width": 2.0}, 3_529_776, 5_449_776),
    ("shufflenet_v1_g3", {"groups": 8, "width": 0.5}, 242_448, 1_010_448),
    ("shufflenet_v1_g3", {"groups": 8}, 897_768, 2_433_768),
    ("shufflenet_v1_g3", {"groups": 8, "width": 1.5}, 1_964_952, 4_268_952),
    ("shufflenet_v1_g3", {"groups": 8, "width": 2.0}, 3_449_232, 6_521_232),
    # Executed figures of these three have a bias in the classifier: 1000 more.
    ("shufflenet_v1_g3", {"groups": 1}, 954_936, 1_531_936 - 1000),
    ("shufflenet_v1_g3", {"groups": 2}, 932_848, 1_733_848 - 1000),
    ("shufflenet_v1_g3", {"groups": 4}, 879_344, 1_968_344 - 1000),
]


def make(case: Case, **arguments: Any) -> nn.Module:
    file, function = case.net.split(".")
    builder = getattr(import_module(f"mmbackbones.native.{file}"), function)
    return builder(**{**case.arguments, **arguments})


def classifier_size(case: Case, channels: int) -> int:
    """Parameters of the paper's classifier on a map of ``channels``."""
    widths = (channels * case.reads**2, *case.widths)
    return sum(size_of(nn.Linear(*pair, bias=case.bias)) for pair in itertools.pairwise(widths))


def whole_size(case: Case, net: nn.Module) -> int:
    """Parameters of ``net`` and of the classifier on its last map."""
    last = net.eval()(torch.empty(1, case.channels_in, 64, 64))
    return size_of(net) + classifier_size(case, last.shape[1])


@pytest.mark.parametrize("name", NAMES)
def test_parameters_with_the_classifier_are_the_published_ones(name: str) -> None:
    case = CASES[name]
    with torch.device("meta"):
        assert whole_size(case, make(case, in_channels=case.channels_in)) == case.whole


@pytest.mark.parametrize(("name", "arguments", "params", "whole"), VARIANTS)
def test_variants_have_the_published_parameters(
    name: str, arguments: dict[str, Any], params: int, whole: int
) -> None:
    with torch.device("meta"):
        net = make(CASES[name], **arguments)
        assert size_of(net) == params
        assert whole_size(CASES[name], net) == whole


@pytest.mark.parametrize("name", [row.name for row in ROWS if row.source == "native"])
def test_every_row_written_here_has_a_published_figure(name: str) -> None:
    """Parameters to the last tap and with the classifier: one of the pairs above, for the same function."""
    row = get_spec(name)
    cases = [case for case in CASES.values() if case.net == row.upstream]
    published = {(case.params, case.whole) for case in cases}
    published |= {(params, whole) for net, _, params, whole in VARIANTS if CASES[net] in cases}
    with torch.device("meta"):
        net = make(replace(cases[0], arguments=row.arguments), in_channels=cases[0].channels_in)
        assert (row.params, whole_size(cases[0], net)) in published


@pytest.mark.parametrize("name", ORIGINAL)
def test_without_repair_the_maps_are_the_papers(name: str) -> None:
    case = CASES[name]
    with torch.device("meta"):
        net = make(case, in_channels=case.channels_in, repair_padding=False)
        x = torch.empty(1, case.channels_in, case.size, case.size)
        cells = {}
        for step in net.steps:
            x = net.get_submodule(step)(x)
            cells[step] = x.shape[-1]
    assert {step: cells[step] for step in case.cells} == case.cells


@pytest.mark.parametrize("name", NAMES)
def test_repair_changes_no_weight(name: str) -> None:
    case = CASES[name]
    with torch.device("meta"):
        repaired, original = (make(case, repair_padding=flag) for flag in (True, False))
    shapes = [{key: value.shape for key, value in net.state_dict().items()} for net in (repaired, original)]
    assert shapes[0] == shapes[1]


def same_as(ours: nn.Module, theirs: nn.Module, size: int) -> None:
    """The same maps with the same weights, handed over in order; batch norms given random statistics."""
    still_random(theirs)
    for own, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        own.copy_(other)
    x = torch.randn(1, 3, size, size + 8)
    expected = theirs.eval()(x)
    torch.testing.assert_close(ours.eval()(x), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@torch.no_grad()
def test_inception_resnet_v2_without_attention_is_timms() -> None:
    import timm

    ours = make(CASES["se_inception_resnet_v2"], attention=None, repair_padding=False)
    theirs = timm.create_model("inception_resnet_v2", num_classes=0, global_pool="")
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    same_as(ours, theirs, 107)


@torch.no_grad()
def test_mobilenetv1_at_width_1_is_timms() -> None:
    import timm

    theirs = timm.create_model("mobilenetv1_100", num_classes=0, global_pool="")
    same_as(make(CASES["mobilenetv1_025"], width=1.0), theirs, 64)


@torch.no_grad()
def test_densenet264_is_torchvisions_class() -> None:
    from torchvision.models import DenseNet

    theirs = DenseNet(32, (6, 12, 64, 48), 64)
    ours = make(CASES["densenet264"], repair_padding=False)
    assert [f"features.{key}" for key in theirs.features.state_dict()] == list(ours.state_dict())
    same_as(ours, nn.Sequential(theirs.features, nn.ReLU()), 72)


@torch.no_grad()
def test_cbam_resnet_without_its_gates_is_timms_resnet() -> None:
    import timm

    ours = make(CASES["cbam_resnet50"])
    for module in ours.modules():
        if hasattr(module, "se"):
            assert isinstance(module.se, CBAM)
            module.se = None
    same_as(ours, timm.create_model("resnet50", num_classes=0, global_pool=""), 64)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"groups": 5}, ["groups=5", "1, 2, 3, 4, 8"]),
        ({"width": 3.0}, ["width=3.0", "0.5, 1.0, 1.5, 2.0"]),
        ({"groups": 4, "width": 0.5}, ["groups=4", "width=0.5", "1, 3 or 8"]),
    ],
)
def test_shufflenets_that_do_not_exist_are_refused(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        make(CASES["shufflenet_v1_g3"], **arguments)
    for word in words:
        assert word in str(caught.value)
