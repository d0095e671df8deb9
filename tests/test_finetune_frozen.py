"""A boundary between frozen and trained that moves: as if built so, and what frozen costs."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import mmbackbones
from mmbackbones import InputError

KINDS = ["resnet18", "swin_tiny", "vit_tiny_patch16_224"]


# -- the backbone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_moved_boundary_is_as_if_built_so(name: str) -> None:
    net = mmbackbones.build(name, frozen_stages=4)
    for k in (2, 0):
        assert copy.deepcopy(net).freeze(k) is not net
        assert net.freeze(k) is net
        built = mmbackbones.build(name, frozen_stages=k)
        assert net.frozen_stages == k
        for ours, theirs in zip(net.parameters(), built.parameters(), strict=True):
            assert ours.requires_grad == theirs.requires_grad
        for ours, theirs in zip(net.modules(), built.modules(), strict=True):
            assert ours.training == theirs.training
    assert not net.eval().freeze(1).training
    with pytest.raises(InputError, match="frozen_stages=5 is out of range"):
        net.freeze(5)


def test_a_moved_boundary_replaces_a_fraction_and_keeps_what_never_trains() -> None:
    net = mmbackbones.build("resnet18", frozen_fraction=0.5, norm_cfg=dict(type="BN", requires_grad=False))
    net.freeze(0)
    assert (net.frozen_stages, net.frozen_fraction) == (0, None)
    trains = {name for name, param in net.named_parameters() if param.requires_grad}
    assert "layer1.0.conv1.weight" in trains
    assert not any(".bn" in name for name in trains)
    assert trains == net.trainable_names(0)


# -- what frozen costs ----------------------------------------------------------------------------


def backward_nodes(tensors: tuple[torch.Tensor, ...]) -> int:
    seen: set[Any] = set()
    todo = [tensor.grad_fn for tensor in tensors]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += [parent for parent, _ in node.next_functions]
    return len(seen)


@pytest.mark.parametrize("name", KINDS)
def test_frozen_stages_cost_no_backward_and_keep_no_activations(name: str) -> None:
    net = mmbackbones.build(name, frozen_stages=4).train()
    kept, nodes = [], []
    for k in (4, 3, 2, 1, 0, -1):
        saved: list[int] = []

        def pack(tensor: torch.Tensor, saved: list[int] = saved) -> torch.Tensor:
            saved.append(tensor.numel() if not isinstance(tensor, nn.Parameter) else 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            maps = net.freeze(k)(torch.randn(1, 3, 64, 64))
        kept.append(sum(saved))
        nodes.append(backward_nodes(maps))
    if name == "vit_tiny_patch16_224":  # its fresh pyramid trains always
        kept, nodes = ([value - values[0] for value in values] for values in (kept, nodes))
    assert kept[0] == nodes[0] == 0
    assert sorted(set(kept)) == kept, "each stage that trains keeps its own activations, and only those"
    assert sorted(set(nodes)) == nodes


@pytest.mark.parametrize(
    ("name", "frozen"),
    [("mobilenetv3_small_050", dict(frozen_stages=2)), ("shufflenet_v2_x0_5", dict(frozen_fraction=1 / 3))],
)
def test_frozen_parameters_and_statistics_are_bit_equal_after_20_steps(
    name: str, frozen: dict[str, Any]
) -> None:
    net = mmbackbones.build(name, **frozen).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    before = copy.deepcopy(net.state_dict())
    for _ in range(20):
        optimiser.zero_grad()
        sum((fmap**2).mean() for fmap in net(torch.randn(2, 3, 64, 64))).backward()
        optimiser.step()
    after = net.state_dict()
    owners = {n.rpartition(".")[0] for n, param in net.named_parameters() if param.requires_grad}
    still = [key for key in before if key.rpartition(".")[0] not in owners]
    assert any("running_var" in key for key in still)
    assert all(torch.equal(after[key], before[key]) for key in still)
    assert len(still) < len(before) - 20
