"""Maps from inside a stage: EarlyBackbone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import mmbackbones
from mmbackbones import InputError
from mmbackbones.inner_taps.early import EarlyBackbone


def test_a_map_is_what_the_named_module_gets() -> None:
    """At an odd size; a copy reads its own modules, and the other map stays as it was."""
    net = EarlyBackbone("resnet18", out_strides=(4, 8), before=("layer1.1", None)).eval()
    torch.nn.init.ones_(net.get_parameter("layer1.1.bn2.weight"))  # 0 as built: the block changes nothing
    plain = mmbackbones.build("resnet18", out_strides=(4, 8)).eval()
    plain.load_state_dict(net.state_dict())
    kept: list[torch.Tensor] = []
    plain.get_submodule("layer1.0").register_forward_hook(lambda *called: kept.append(called[-1]))
    image = torch.randn(1, 3, 35, 50)
    for one in (net, copy.deepcopy(net)):
        early, late = one(image)
        whole, expected = plain(image)
        torch.testing.assert_close(early, kept[-1])
        torch.testing.assert_close(late, expected)
        assert early.shape == whole.shape
        assert not torch.allclose(early, whole)
    early.sum().backward()
    assert one.get_parameter("layer1.0.conv1.weight").grad is not None
    assert one.get_parameter("layer1.1.conv1.weight").grad is None


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            dict(before=("layer1.1",)),
            r"before=\('layer1.1',\) has 1 entries for the maps of strides \(4, 8\)",
        ),
        (dict(before=("layer1.7", None)), "'resnet18' has no module 'layer1.7'. It has layer1.0, layer1.1"),
        (dict(before=("layer1.1", None), with_cp=True), "with_cp=True: EarlyBackbone cannot checkpoint"),
    ],
)
def test_what_it_does_not_take(args: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        EarlyBackbone("resnet18", out_strides=(4, 8), **args)
