"""What a base expects of its backbone: what is known without a run is what a run shows."""

from __future__ import annotations

from typing import Any

import pytest

from mmbackbones.compose import expects

pytest.importorskip("mmdet")

STEPS = dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "basic blocks": ("mmdet", dict(type="ResNet", depth=18)),
    "bottlenecks": ("mmdet", dict(type="mmdet.ResNet", depth=50, out_indices=(1, 3), style="caffe")),
    "dilated": ("mmseg", dict(type="ResNetV1c", depth=50, **STEPS, contract_dilation=True)),
    "three stages": (
        "mmdet",
        dict(type="ResNet", depth=50, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),
    ),
    "Swin": (
        "mmdet",
        dict(
            type="SwinTransformer", embed_dims=24, depths=(1,) * 4, num_heads=(1,) * 4, out_indices=(1, 2, 3)
        ),
    ),
    "ours": ("mmdet", dict(type="mmbackbones.resnet18", out_indices=(0, 3))),
    "ours, general": ("mmdet", dict(type="mmbackbones.Backbone", name="timm:resnet10t")),
    "ours, expanded": ("mmdet", dict(type="mmbackbones.ExpandedBackbone", name="mobilenetv3_small_050")),
    "ours, fixed": ("mmseg", dict(type="mmbackbones.PreActivationBackbone", name="resnet18")),
}


@pytest.mark.parametrize("case", KNOWN)
def test_what_is_known_is_what_a_run_shows(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scope, backbone = KNOWN[case]
    seen = expects.seen_in_a_run(backbone, scope)
    monkeypatch.setattr(expects, "seen_in_a_run", None)  # would fail
    assert expects.expected(backbone, scope) == seen


def test_a_dilated_backbone_of_ours_has_the_depths_of_its_stages() -> None:
    levels = expects.expected(dict(type="mmbackbones.resnet18", output_stride=8), "mmseg")
    assert [level.stride for level in levels] == [4, 8, 8, 8]
    assert [level.depth for level in levels] == [4, 8, 16, 32]
    assert {level.size for level in levels} == {(128, 160), (64, 80)}
    shown = expects.seen_in_a_run(dict(type="mmbackbones.resnet18", output_stride=8), "mmseg")
    assert shown == levels


def test_a_net_dilated_by_its_constructor_has_the_depths_of_its_stages() -> None:
    """As in the configs for torchvision's LR-ASPP: another backbone must give C5, dilated, and not C4."""
    levels = expects.expected(
        dict(
            type="mmbackbones.Backbone",
            name="torchvision:mobilenet_v3_large",
            output_stride=16,
            net_kwargs=dict(dilated=True),
            out_strides=(8, 16),
        ),
        "mmseg",
    )
    assert [(level.channels, level.stride, level.depth) for level in levels] == [(40, 8, 8), (960, 16, 32)]


def test_other_widths_are_read_off_a_run() -> None:
    levels = expects.expected(dict(type="ResNet", depth=18, base_channels=8), "mmdet")
    assert [level.channels for level in levels] == [8, 16, 32, 64]
