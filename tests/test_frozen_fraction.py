"""``frozen_fraction``: the first fraction of the weight layers, in order of execution, for any net."""

import copy

import pytest
import torch
from cases import LIGHT, quick
from torch import nn
from torch.nn.modules.conv import _ConvNd

import mmbackbones
from mmbackbones import InputError

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def trained(net: nn.Module) -> dict[str, torch.Tensor]:
    """The state before two steps in which all maps take part; affine parameters are random first."""
    with torch.no_grad():
        for param in net.parameters():
            if param.ndim == 1:  # fresh nets start with zeros that stop gradients
                param.uniform_(0.5, 1.5)
    before = copy.deepcopy(net.state_dict())
    params = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(params, lr=0.1, weight_decay=0.1) if params else None
    for _ in range(2):
        maps = net(torch.randn(2, 3, 64, 64))
        if optimiser:
            sum((fmap**2).mean() for fmap in maps).backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimiser.step()
            optimiser.zero_grad()
    return before


@pytest.mark.parametrize("name", LIGHT)
@pytest.mark.parametrize("fraction", [1 / 3, 1])
def test_the_frozen_part_stays_and_the_rest_trains(name: str, fraction: float) -> None:
    net = quick(name, frozen_fraction=fraction)
    net.eval()
    assert net.train() is net
    layers = {
        n: m for n, m in net.named_modules() if isinstance(m, (_ConvNd, nn.Linear)) and n[:7] != "pyramid"
    }
    frozen_layers = [n for n, m in layers.items() if not m.weight.requires_grad]
    if fraction == 1:
        assert len(frozen_layers) == len(layers)
        assert [n for n, p in net.named_parameters() if p.requires_grad and n[:8] != "pyramid."] == []
    else:  # a parameter that shares its place with another layer's may wait for it: at most two of them
        assert len(layers) // 3 - 2 <= len(frozen_layers) <= len(layers) // 3
    trainable = {n for n, p in net.named_parameters() if p.requires_grad}
    owners = {n.rpartition(".")[0] for n in trainable}
    before = trained(net)
    for key, value in net.state_dict().items():
        owner, _, last = key.rpartition(".")
        if key in trainable:
            assert not torch.equal(value, before[key]), f"{key} is not frozen and stayed"
        elif owner not in owners or last not in STATISTICS:
            assert torch.equal(value, before[key]), f"{key} is frozen and changed"


def test_a_third_of_vgg16_is_its_first_four_convolutions() -> None:
    net = mmbackbones.build("vgg16_bn", frozen_fraction=1 / 3)
    frozen = [n for n, p in net.named_parameters() if not p.requires_grad]
    assert frozen == [
        f"features.{i}.{kind}" for i in (0, 1, 3, 4, 7, 8, 10, 11) for kind in ("weight", "bias")
    ]
    assert not net.features[11].training
    assert net.features[15].training


def test_order_is_that_of_execution_not_of_definition() -> None:
    """timm's GhostNet, ResNet's shortcut ...: what is defined late and called early freezes early."""
    net = mmbackbones.build("resnet18", frozen_fraction=8 / 20)
    frozen = {n for n, p in net.named_parameters() if not p.requires_grad and n.endswith("weight")}
    assert "layer2.0.downsample.0.weight" in frozen
    assert "layer2.1.conv1.weight" not in frozen
    assert len([n for n in frozen if "conv" in n or "downsample.0" in n]) == 8


def test_drop_out_of_the_frozen_part_is_off() -> None:
    net = mmbackbones.build("swin_tiny", frozen_fraction=0.5, net_kwargs={"drop_path_rate": 0.5})
    paths = {n: m.training for n, m in net.named_modules() if type(m).__name__ == "DropPath"}
    assert not any(on for n, on in paths.items() if n.startswith(("layers.0", "layers.1")))
    assert all(on for n, on in paths.items() if n.startswith("layers.3"))


def test_nothing_is_frozen_at_0_and_the_bare_parameters_go_with_the_first_layer() -> None:
    every = mmbackbones.build("vit_tiny_patch16_224", frozen_fraction=0)
    assert all(p.requires_grad for p in every.parameters())
    some = mmbackbones.build("vit_tiny_patch16_224", frozen_fraction=0.1)
    assert not some.pos_embed.requires_grad
    assert not some.cls_token.requires_grad


@pytest.mark.parametrize("fraction", [-0.1, 1.01, float("nan"), "1/3", True])
def test_a_fraction_outside_0_to_1_is_refused(fraction: object) -> None:
    with pytest.raises(InputError, match=r"frozen_fraction=.*0 \(nothing\) to 1"):
        mmbackbones.build("resnet18", frozen_fraction=fraction)


def test_two_ways_of_freezing_at_once_are_refused() -> None:
    with pytest.raises(InputError, match="frozen_stages=1 and frozen_fraction=0.5"):
        mmbackbones.build("resnet18", frozen_stages=1, frozen_fraction=0.5)
