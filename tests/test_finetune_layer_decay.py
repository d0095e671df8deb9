"""Layer-wise decay of the learning rate: the layers of every net, and the optimiser's groups."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from cases import NAMES, blank
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from timm.models import group_parameters
from timm.optim import param_groups_layer_decay
from torch import nn

import mmbackbones
import mmbackbones.necks
from mmbackbones import InputError, registry


class Model(nn.Module):
    """A backbone with a neck and a head."""

    def __init__(self, name: str, **arguments: Any) -> None:
        super().__init__()
        self.backbone = mmbackbones.build(name, **arguments)
        self.neck = nn.Conv2d(8, 8, 1)
        self.head = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))


def groups(model: nn.Module, *, lr: float | None = 1.0, **paramwise: Any) -> list[dict[str, Any]]:
    optimizer = dict(type="SGD", weight_decay=0.05) | ({"lr": lr} if lr else {})
    constructor = f"{registry.SCOPE}.LayerDecayOptimWrapperConstructor"
    cfg = dict(constructor=constructor, optimizer=optimizer, paramwise_cfg=paramwise)
    return build_optim_wrapper(model, cfg).optimizer.param_groups


def settings(model: nn.Module, **paramwise: Any) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter that the optimiser holds."""
    found = {}
    names = {id(param): name for name, param in model.named_parameters()}
    for group in groups(model, **paramwise):
        for param in group["params"]:
            assert names[id(param)] not in found, "in two groups"
            found[names[id(param)]] = (group["lr"], group["weight_decay"])
    return found


#: Where timm's authors group otherwise: by dense layer, by stage.
UNLIKE_TIMM = {"densenet", "ghostnet", "xception"}


@pytest.mark.parametrize("name", NAMES)
def test_layers_count_from_the_stem_in_order_of_execution(name: str) -> None:
    net = blank(name)
    layers, stages = net.param_layers, net.param_stages
    fresh = {n for n, _ in net.named_parameters() if n.startswith("pyramid.")}
    assert layers.keys() == stages.keys() == dict(net.named_parameters()).keys() - fresh
    assert set(layers.values()) == set(range(max(layers.values()) + 1)), "no number is left out"
    assert {n for n in layers if layers[n] == 0} == {n for n in stages if stages[n] == 0}
    along = [[stages[n] for n in layers if layers[n] == k] for k in sorted(set(layers.values()))]
    assert all(max(inside) <= min(behind) for inside, behind in zip(along, along[1:], strict=False))
    if net.spec.source == "timm" and net.spec.family not in UNLIKE_TIMM:
        upstream = net.feature_net.net
        found = group_parameters(upstream, upstream.group_matcher(coarse=False), reverse=True)
        number = {group: k for k, group in enumerate(sorted({found[n] for n in layers}))}
        assert layers == {n: number[found[n]] for n in layers}


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_rates_and_weight_decay_are_timms(name: str) -> None:
    model = Model(name)
    with torch.device("meta"):
        theirs = timm.create_model(model.backbone.spec.upstream, num_classes=10)
    names = {id(param): n for n, param in theirs.named_parameters()}
    expected = {
        names[id(param)]: (group["lr_scale"], group["weight_decay"])
        for group in param_groups_layer_decay(
            theirs, 0.05, no_weight_decay_list=theirs.no_weight_decay(), layer_decay=0.75
        )
        for param in group["params"]
    }
    found = settings(model, decay_rate=0.75)
    own = {n: found.pop(f"backbone.{n}") for n in model.backbone.param_stages}
    behind = {n for n in expected if n.startswith(("head.", "norm."))}  # of the classifier: not in a backbone
    assert own.keys() == expected.keys() - behind
    for n, value in own.items():
        assert value == pytest.approx(expected[n]), n
    assert {lr for lr, _ in found.values()} == {1.0}  # neck, head, and the fresh pyramid of the ViT


def test_by_stage() -> None:
    model = Model("resnet18", frozen_stages=0)
    found = settings(model, decay_rate=0.5, by="stage")
    stages = model.backbone.param_stages
    for name, param in model.named_parameters():
        stage = stages.get(name.removeprefix("backbone."), 5)
        if stage > 0:
            assert found[name] == (0.5 ** (5 - stage), 0.0 if param.ndim == 1 else 0.05)
    assert not any(name.startswith(("backbone.conv1", "backbone.bn1")) for name in found), "frozen"
    assert "backbone.layer1.0.conv1.weight" in found


def test_no_decay_for_whatever_holds_a_place_or_is_a_token() -> None:
    for name in ("vit_tiny_patch16_224", "swin_tiny"):
        model = Model(name)
        for own in ("rel_pos_h", "query_token", "weights"):
            model.head.register_parameter(own, nn.Parameter(torch.zeros(2, 2)))
        bare = {n for n, (_, decay) in settings(model, decay_rate=0.9).items() if decay == 0}
        special = re.compile(r"pos_embed$|cls_token$|relative_position_bias_table$|rel_pos_h$|query_token$")
        params = dict(model.named_parameters())
        assert bare == {n for n, p in params.items() if p.ndim == 1 or special.search(n)}
    assert "logit_scale" in "".join(
        n for n, (_, d) in settings(Model("swinv2_tiny_window8_256"), decay_rate=1).items() if not d
    )


def test_a_convolution_with_a_norm_inside_decays() -> None:
    model = Model("resnet18", out_strides=(4, 8))
    model.neck = mmbackbones.necks.SimpleFeaturePyramid([64], 8, out_strides=(8, 16))
    model.head = nn.LayerNorm((8, 3))
    found = settings(model, decay_rate=0.9)
    assert {decay for name, (_, decay) in found.items() if name.startswith("head.")} == {0.0}
    assert {found[n][1] for n, p in model.neck.named_parameters("neck") if p.ndim == 4} == {0.05}


def test_custom_keys_multiply_and_the_longest_holds() -> None:
    keys = {
        "backbone": dict(lr_mult=0.1),
        "backbone.layer4": dict(decay_mult=0.5, momentum=0.3),
        "neck": dict(lr_mult=10.0, decay_mult=2.0),
    }
    model = Model("resnet18")
    plain, found = settings(model, decay_rate=0.9), settings(model, decay_rate=0.9, custom_keys=keys)
    for name, (lr, decay) in plain.items():
        if name.startswith("backbone.layer4"):
            assert found[name] == pytest.approx((lr, 0.025))  # its norms and biases too, as the user said
        elif name.startswith("backbone"):
            assert found[name] == pytest.approx((0.1 * lr, decay))
        elif name.startswith("neck"):
            assert found[name] == pytest.approx((10.0, 0.1))
        else:
            assert found[name] == (lr, decay)
    momenta = {group.get("momentum") for group in groups(model, decay_rate=0.9, custom_keys=keys)}
    assert momenta == {0.0, 0.3}
    assert keys["backbone.layer4"] == dict(decay_mult=0.5, momentum=0.3)


def test_a_rate_of_one_changes_no_rate() -> None:
    assert {lr for lr, _ in settings(Model("resnet18"), decay_rate=1).values()} == {1.0}


def test_one_line_for_each_group_goes_to_the_log(tmp_path: Path) -> None:
    logger = MMLogger.get_instance("groups", log_file=str(tmp_path / "log"), log_level="INFO")
    found = groups(Model("resnet18", frozen_stages=3), decay_rate=0.5)
    for handler in logger.handlers:
        handler.flush()
    lines = re.findall(r"INFO - (.*)", (tmp_path / "log").read_text())
    assert len(lines) == len(found) == 6  # the two blocks of stage 4 and the rest; with weight decay or not
    assert lines[0] == "layer 7: 3 tensors, 3,670,016 parameters, lr 0.25, weight_decay 0.05"
    parts = [line.split(":")[0] for line in lines]
    assert parts == ["layer 7"] * 2 + ["layer 8"] * 2 + ["neck and heads"] * 2


@pytest.mark.parametrize(
    ("paramwise", "message"),
    [
        ({}, "decay_rate=None. Allowed: above 0, up to 1"),
        ({"decay_rate": 0}, "decay_rate=0"),
        ({"decay_rate": 1.01}, "decay_rate=1.01"),
        ({"decay_rate": -0.5}, "decay_rate=-0.5"),
        ({"decay_rate": "0.9"}, "decay_rate='0.9'"),
        ({"decay_rate": float("nan")}, "decay_rate=nan"),
        ({"decay_rate": 0.9, "by": "block"}, "by='block'. Allowed: 'layer', 'stage'"),
        ({"decay_rate": 0.9, "num_layers": 12}, "no .'num_layers'.. Allowed: decay_rate, by, custom_keys"),
        ({"decay_rate": 0.9, "custom_keys": {"neck": 0.1}}, "custom_keys=.*Write dicts"),
        ({"decay_rate": 0.9, "lr": None}, "no lr"),
    ],
)
def test_bad_input(paramwise: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        groups(nn.Linear(2, 2), **paramwise)


def test_other_backbones_are_refused() -> None:
    with pytest.raises(InputError, match="has none of them but Linear. Write backbone=dict"):
        groups(nn.Linear(2, 2), decay_rate=0.9)
