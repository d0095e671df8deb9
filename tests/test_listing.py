"""Choosing among the catalog's backbones: ``mmbackbones.list_backbones``."""

import pytest

import mmbackbones
from mmbackbones import InputError
from mmbackbones.catalog.rows import ROWS


def test_list_backbones_filters() -> None:
    assert mmbackbones.list_backbones("regnety_0[48]0") == ["regnety_040", "regnety_080"]
    assert "swin_tiny_patch4_window7_224" in mmbackbones.list_backbones("swin_tiny")
    assert "efficientnet_b0" not in mmbackbones.list_backbones(has_se=False)
    assert "swin_tiny_patch4_window7_224" not in mmbackbones.list_backbones(dilatable=True)
    assert mmbackbones.list_backbones("*16*", family="vgg") == ["vgg16", "vgg16_bn"]
    assert mmbackbones.list_backbones("nothing*") == []


FILTERS = {
    "family": ("swin", lambda spec: spec.family == "swin"),
    "kind": ("hybrid", lambda spec: spec.kind == "hybrid"),
    "task": ("detection", lambda spec: {8, 16, 32} <= set(spec.strides)),
    "strides": ((2, 16), lambda spec: {2, 16} <= set(spec.strides)),
    "min_params": ("0.1G", lambda spec: spec.params >= 100_000_000),
    "max_params": ("1.5M", lambda spec: spec.params <= 1_500_000),
    "max_gflops": (0.5, lambda spec: spec.gflops <= 0.5),
    "has_se": (True, lambda spec: spec.has_se),
    "dilatable": (False, lambda spec: not spec.dilatable),
    "has_weights": (False, lambda spec: spec.weights == ()),
}


@pytest.mark.parametrize("option", FILTERS)
def test_each_filter_takes_what_fits_and_nothing_else(option: str) -> None:
    value, fits = FILTERS[option]
    assert mmbackbones.list_backbones(**{option: value}) == sorted(s.name for s in ROWS if fits(s))
    assert 0 < len(mmbackbones.list_backbones(**{option: value})) < len(ROWS)


def test_filters_are_joined_by_and() -> None:
    small = mmbackbones.list_backbones(
        task="segmentation", max_params=2e6, has_se=False, has_weights=True, dilatable=True
    )
    assert "mobilenetv2_100" in small
    assert not {"mobilenetv3_small_100", "resnet18", "mobilenetv2_035"} & set(small)
    assert mmbackbones.list_backbones("resnet*", min_params="20M", max_params="25M") == [
        "resnet34",
        "resnet50",
    ]


def test_tasks_say_what_the_maps_suffice_for() -> None:
    tasks = {name: mmbackbones.get_spec(name).tasks for name in ("lenet5", "squeezenet1_1", "swin_tiny")}
    assert tasks["lenet5"] == ("classification",)  # strides 2 and 4
    assert tasks["squeezenet1_1"] == ("classification", "segmentation")  # no stride 32, but it dilates
    assert tasks["swin_tiny"] == ("classification", "detection", "segmentation")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("family", "resnets", "family 'resnets'.*Did you mean 'resnet'.*resnext"),
        ("kind", "cnns", "kind 'cnns'.*Allowed: cnn, hybrid, transformer"),
        ("task", "tracking", "task 'tracking'.*Allowed: classification, detection, segmentation"),
        ("strides", (4, 12), "stride 12.*Allowed: 1, 2, 4, 8, 16, 32"),
        ("min_params", "many", "min_params='many' is no size.*10M"),
        ("max_params", -1, "max_params=-1 is no size"),
        ("max_gflops", True, "max_gflops=True is no size"),
    ],
)
def test_bad_values_of_filters(option: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mmbackbones.list_backbones(**{option: value})
