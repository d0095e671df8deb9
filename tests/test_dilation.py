"""Output stride: which networks take it, of timm's too, and nets whose padding is their authors'."""

import pytest
import torch
from cases import NAMES, close, with_random_norms

import mmbackbones
from mmbackbones.feature_nets.opening import open_traced
from mmbackbones.feature_nets.specs import without_values
from mmbackbones.surgery.dilatable import can_dilate


@pytest.mark.parametrize("name", NAMES)
def test_the_catalog_says_what_the_identity_says(name: str) -> None:
    spec = mmbackbones.get_spec(name)
    feature_net, _, found = without_values(
        lambda: open_traced(spec.source, spec.upstream, 3, spec.arguments, name=name)
    )
    assert can_dilate(feature_net, found) == spec.dilatable


@pytest.mark.parametrize(
    ("name", "dilatable"),
    [
        ("timm:resnet10t", True),
        ("timm:ghostnet_100", True),  # SE
        ("timm:convnextv2_atto", True),  # GRN
        ("timm:poolformer_s12", True),  # one group over the whole map
        ("timm:shvit_s1", False),  # attention in a class without a telling name
        ("timm:iformer_s", False),  # pools and resizes
        ("timm:efficientvit_b0", False),  # linear attention
        ("timm:efficientvim_m1", False),  # state space
        ("timm:ghostnetv2_100", False),  # gates on a pooled map
    ],
)
def test_open_names_are_dilatable_where_the_values_stay(name: str, dilatable: bool) -> None:
    assert mmbackbones.get_spec(name).dilatable == dilatable


@pytest.mark.parametrize("name", ["timm:resnet10t", "timm:tf_mobilenetv3_small_minimal_100"])
def test_a_net_without_repairs_is_dilated_as_it_is(name: str) -> None:
    """``repair_padding=False`` changes nothing then: sizes are promised, and the identity holds."""
    plain = mmbackbones.build(name, repair_padding=False)
    with_random_norms(plain)
    dilated = mmbackbones.build(name, repair_padding=False, output_stride=8).eval()
    dilated.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 97, 130)
    with torch.no_grad():
        ordinary, maps = plain(x), dilated(x)
    assert [tuple(m.shape[2:]) for m in maps] == [(25, 33), (13, 17), (13, 17), (13, 17)]
    for stride, fmap, reference in zip(plain.out_strides, maps, ordinary, strict=True):
        step = max(1, stride // 8)
        assert close(fmap[..., ::step, ::step], reference, 1e-4)
