"""Squeeze-and-excitation gates are found by what they do, whatever their classes are called."""

import pytest
from torch import Tensor, nn

import mmbackbones
from mmbackbones.native.attention import ATTENTIONS
from mmbackbones.sources.feature_net import ChainNet
from mmbackbones.tracing.gates import has_gate
from mmbackbones.tracing.trace import trace


class Nameless(nn.Module):
    """A gate for 8 channels, or one that reads cells."""

    def __init__(self, pools: bool) -> None:
        super().__init__()
        self.pools, self.mix = pools, nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mix(x.mean((2, 3), keepdim=True) if self.pools else x).sigmoid()


@pytest.mark.parametrize(
    ("module", "gated"),
    [
        (Nameless(True), True),
        (Nameless(False), False),
        *((kind(8), name != "eca") for name, kind in ATTENTIONS.items()),
    ],
    ids=["pooled", "cells", *ATTENTIONS],
)
def test_a_gate_is_what_reads_one_value_per_channel(module: nn.Module, gated: bool) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), module, nn.Conv2d(8, 8, 3, 2, 1))
    feature_net = ChainNet(net, ["0", "1", "2"])
    assert has_gate(feature_net, trace(feature_net, 3)) == gated


@pytest.mark.parametrize(
    ("name", "gated"),
    [
        ("timm:hgnetv2_b0", False),
        ("timm:hgnet_tiny", True),  # timm's EseModule
        ("timm:legacy_seresnet18", True),
        ("timm:ese_vovnet19b_slim_dw", True),
        ("timm:fastvit_t8", False),  # its gate stands behind the last map
    ],
)
def test_what_is_read_off_an_open_name(name: str, gated: bool) -> None:
    assert mmbackbones.get_spec(name).has_se == gated
