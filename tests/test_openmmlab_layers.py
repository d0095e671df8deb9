"""Layers of another library's checkpoints that the order alone does not tell apart, by small networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmbackbones import InputError
from mmbackbones.weights.checkpoints import by_our_names
from mmbackbones.weights.loading import load_into, read_for
from mmbackbones.weights.openmmlab import Renamed, give_back, rename


def branches(*names: str, blocks: int = 2) -> nn.Module:
    """Blocks of a 1x1 and two 3x3 convolutions side by side, each with its norm, defined in that order."""

    def branch(name: str) -> nn.Module:
        conv = nn.Conv2d(4, 4, 1 if "scale" in name else 3)
        return nn.Sequential(conv, nn.BatchNorm2d(4))

    net = nn.Sequential(*(nn.ModuleDict({name: branch(name) for name in names}) for _ in range(blocks)))
    for value in net.state_dict().values():
        value.copy_(torch.randn(value.shape))
    return net


def shapes_of(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


def test_branches_of_a_block_in_another_order() -> None:
    """As in MobileOne: by their order the norms, all of one shape, would be mixed up."""
    theirs = branches("branch_scale", "branch_a", "branch_b").state_dict()
    ours = branches("conv_a", "conv_b", "scale")
    order = [name for name, module in ours.named_modules() if list(module.parameters(recurse=False))]
    named = rename(theirs, shapes_of(ours), order, "ours").named
    assert named.keys() == ours.state_dict().keys()
    for name, value in named.items():
        place = (
            name.replace("conv_a", "branch_a").replace("conv_b", "branch_b").replace("scale", "branch_scale")
        )
        assert torch.equal(value, theirs[place])


def test_branches_of_one_shape_that_both_call_the_same() -> None:
    """As in CSPNeXt, where a file's main and short branch went into each other's place."""
    theirs = branches("main_conv", "short_conv").state_dict()
    ours = branches("short_conv", "main_conv")
    order = [name for name, module in ours.named_modules() if list(module.parameters(recurse=False))]
    named = rename(theirs, shapes_of(ours), order, "ours").named
    assert named.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in named.items())


def test_a_bias_of_keys_is_left_out_and_given_back_as_zeros() -> None:
    """mmseg's MAE has one, BEiT (arXiv 2106.08254) none: no softmax sees it."""
    theirs = {"layers.0.attn.qkv.weight": torch.randn(12, 4), "layers.0.attn.qkv.bias": torch.randn(12)}
    shapes = {"q_bias": (4,), "v_bias": (4,), "qkv.weight": (12, 4)}
    own = {f"blocks.0.attn.{name}": shape for name, shape in shapes.items()}
    named = rename(theirs, own, ["blocks.0.attn.qkv"], "ours").named
    q, _, v = theirs["layers.0.attn.qkv.bias"].split(4)
    assert torch.equal(named["blocks.0.attn.q_bias"], q)
    assert torch.equal(named["blocks.0.attn.v_bias"], v)
    ours = {name: named[name] for name in own}
    back = give_back(ours, theirs, ["blocks.0.attn.qkv"], "ours")
    assert list(back) == list(theirs)
    assert torch.equal(back["layers.0.attn.qkv.weight"], theirs["layers.0.attn.qkv.weight"])
    assert torch.equal(back["layers.0.attn.qkv.bias"], torch.cat([q, torch.zeros(4), v]))


class Biased(nn.Module):
    """A layer with a table of places that follows from the window, as EfficientFormer's and LeViT's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.register_buffer("attention_bias_idxs", torch.arange(4))

    upstream_shapes: dict[str, tuple[int, ...]] = {}  # noqa: RUF012

    def rename(self, state: dict[str, Tensor]) -> Renamed:
        return Renamed({"conv.weight": state["c.weight"], "conv.bias": state["c.bias"]}, {})


def test_what_follows_from_the_window_need_not_be_in_a_file() -> None:
    net = Biased()
    given = {"conv.weight": torch.ones(4, 3, 1, 1), "conv.bias": torch.ones(4)}
    assert load_into(net, given, first="conv").missing == ()
    assert net.attention_bias_idxs.tolist() == [0, 1, 2, 3]
    model = nn.ModuleDict({"backbone": Biased()})
    zoo = {f"backbone.c.{name}": value for name, value in net.conv.state_dict().items()}
    assert by_our_names(model, {"state_dict": zoo}, "zoo.pth").keys() == model.state_dict().keys()


def test_a_davit_that_pads_otherwise_is_refused(tmp_path: Path) -> None:
    """By its names: mmpretrain need not be there."""
    shapes = {
        "patch_embed.projection": (96, 3, 7, 7),
        "stages.0.blocks.0.spatial_block.cpe1.proj": (96, 1, 3, 3),
    }
    file = tmp_path / "w.pth"
    torch.save({"state_dict": {f"backbone.{k}.weight": torch.zeros(v) for k, v in shapes.items()}}, file)
    with pytest.raises(InputError, match=r"w.pth is refused: mmpretrain's DaViT pads .* Take timm's weights"):
        read_for(nn.Linear(2, 2), str(file), "backbone.")
