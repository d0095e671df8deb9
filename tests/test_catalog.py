"""The catalog's rows against the networks and against what timm and torchvision say of them."""

import csv

import pytest
import torchvision
from cases import NAMES

import mmbackbones
from mmbackbones import InputError
from mmbackbones.catalog import catalog_names
from mmbackbones.catalog.open_set import measured
from mmbackbones.catalog.rows import ROWS


@pytest.mark.parametrize("name", NAMES)
def test_a_row_says_what_the_network_is(name: str) -> None:
    row = mmbackbones.get_spec(name)
    found = measured(row.source, row.upstream, row.arguments)
    inputs = ("mean", "std") if found.weights else ()  # without weights nobody says what they took
    for field in ("channels", "has_se", "dilatable", "params", *inputs):
        assert getattr(row, field) == getattr(found, field), field


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_of_the_sources_and_the_default_is_theirs(name: str) -> None:
    row = mmbackbones.get_spec(name)
    found = measured(row.source, row.upstream, row.arguments)
    assert row.weights[:1] == found.weights[:1]
    own = [weights for weights in row.weights if weights.startswith(f"{row.source}://")]
    assert set(own) == set(found.weights)
    for weights in set(row.weights) - set(own):
        model, tag = weights.removeprefix("torchvision://").split(".")
        assert tag in torchvision.models.get_model_weights(model).__members__


def test_names_and_aliases_are_unique_and_lead_to_one_row() -> None:
    names = [name for row in ROWS for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names)) == len(catalog_names())
    assert mmbackbones.get_spec("swin_tiny") is mmbackbones.get_spec("swin_tiny_patch4_window7_224")


def test_figures_agree_with_the_reference_table(shared) -> None:
    """Rows of params.csv that were executed: parameters to the C5 tap and channels at each stride."""
    with open(shared / "reference" / "params.csv", newline="") as file:
        lines = {line["reference_executed"]: line for line in csv.DictReader(file)}
    compared = 0
    for row in ROWS:
        quoted = [line for key, line in lines.items() if f"create_model('{row.upstream}')" in key]
        if not quoted or not quoted[0]["params_to_C5_taps"]:
            continue
        if len(set(row.channels.values())) == 1:  # a plain transformer: its pyramid comes on top
            continue
        assert row.params == int(quoted[0]["params_to_C5_taps"]), row.name
        for column, stride in (("C2_s4", 4), ("C3_s8", 8), ("C4_s16", 16), ("C5_s32", 32)):
            assert row.channels[stride] == int(quoted[0][column]), (row.name, column)
        compared += 1
    assert compared > len(ROWS) / 3


def test_list_backbones_filters() -> None:
    assert mmbackbones.list_backbones("regnety_0[48]0") == ["regnety_040", "regnety_080"]
    assert "swin_tiny_patch4_window7_224" in mmbackbones.list_backbones("swin_tiny")
    assert "efficientnet_b0" not in mmbackbones.list_backbones(has_se=False)
    assert "swin_tiny_patch4_window7_224" not in mmbackbones.list_backbones(dilatable=True)
    assert mmbackbones.list_backbones("*16*", family="vgg") == ["vgg16", "vgg16_bn"]
    assert mmbackbones.list_backbones("nothing*") == []
    with pytest.raises(InputError, match="no family 'resnets'.*resnext"):
        mmbackbones.list_backbones(family="resnets")


def test_a_type_that_nobody_registered_gets_the_nearest_names() -> None:
    from mmengine.registry import MODELS

    with pytest.raises(InputError, match="mmbackbones.resnet5.*resnet50"):
        MODELS.build({"type": "mmbackbones.resnet5"})
    with pytest.raises(InputError, match="Did you mean 'frozen_stages'"):
        MODELS.build({"type": "mmbackbones.resnet18", "frozen_stage": 1})


def test_open_names_are_types_too() -> None:
    from mmengine.registry import MODELS

    assert MODELS.build({"type": "mmbackbones.timm:resnet18d"}).out_channels == (64, 128, 256, 512)
    assert MODELS.build({"type": "mmbackbones.swin_tiny"}).out_channels == (96, 192, 384, 768)
    assert MODELS.build({"type": "mmbackbones.Backbone", "name": "resnet18"}).out_strides == (4, 8, 16, 32)
