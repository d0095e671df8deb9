"""Files that name, shape or mean their weights in another way than the backbone: mapped, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import mmbackbones
from mmbackbones import InputError

#: Layers of OpenMMLab's ``stem`` (ResNet V1c and V1d, ResNeSt) and what timm calls them.
DEEP_STEM = {"0": "conv1.0", "1": "conv1.1", "3": "conv1.3", "4": "conv1.4", "6": "conv1.6", "7": "bn1"}


def _save(path: Path, content: Any) -> str:
    torch.save(content, path)
    return str(path)


def _openmmlab(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """timm's deep stem under OpenMMLab's names."""
    theirs = {ours: f"stem.{index}" for index, ours in DEEP_STEM.items()}
    split = {name: name.rpartition(".") for name in state}
    return {f"{theirs.get(at, at)}.{last}": state[name] for name, (at, _, last) in split.items()}


@pytest.mark.parametrize("name", ["timm:resnet18d", "timm:resnet50c", "timm:resnest14d"])
def test_openmmlabs_deep_stems_load(name: str, tmp_path: Path) -> None:
    state = timm.create_model(name.split(":")[1], pretrained=False).state_dict()
    renamed = _openmmlab(state)
    assert {"stem.0.weight", "stem.7.running_var"} < renamed.keys()
    file = _save(tmp_path / "deep.pth", {"state_dict": {f"backbone.{k}": v for k, v in renamed.items()}})
    net = mmbackbones.build(name, pretrained=file)
    assert (net.load_report.missing, net.load_report.unexpected) == ((), ())
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


def test_mmsegs_resnet_v1c_gives_its_own_maps(tmp_path: Path) -> None:
    backbones = pytest.importorskip("mmseg.models.backbones")
    theirs = backbones.ResNetV1c(depth=50, norm_eval=False)
    theirs.eval()
    file = _save(tmp_path / "v1c.pth", {"state_dict": theirs.state_dict()})
    ours = mmbackbones.build("timm:resnet50c", pretrained=file).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for mine, given in zip(ours(x), theirs(x), strict=True):
            torch.testing.assert_close(mine, given)


@pytest.mark.parametrize("name", ["resnet18", "timm:vit_tiny_patch16_224", "timm:resnetv2_18"])
def test_a_file_without_the_first_convolution_is_refused(name: str, tmp_path: Path) -> None:
    net = mmbackbones.build(name)
    state = net.state_dict()
    first = {"resnet18": "conv1", "timm:resnetv2_18": "stem.conv"}.get(name, "patch_embed.proj")
    file = _save(tmp_path / "w.pth", {k: v for k, v in state.items() if k != f"{first}.weight"})
    with pytest.raises(InputError, match=f"has no {first}.weight, the first convolution"):
        mmbackbones.build(name, pretrained=file)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("resnet50_caffe.pth", {}),
        ("some.pth", {"meta": {"config": "backbone=dict(type='ResNet', depth=50, style='caffe')"}}),
    ],
)
def test_caffe_style_is_refused_where_the_file_tells(name: str, content: Any, tmp_path: Path) -> None:
    state = mmbackbones.build("timm:resnet26").state_dict()
    file = _save(tmp_path / name, {"state_dict": state, **content})
    with pytest.raises(InputError, match="caffe-style ResNet, by its (name|config)"):
        mmbackbones.build("timm:resnet26", pretrained=file)
    (tmp_path / "caffe").mkdir()
    told = {"config": "style='pytorch'"}
    plain = _save(tmp_path / "caffe" / "own.pth", {"meta": told, "state_dict": state})
    assert mmbackbones.build("timm:resnet26", pretrained=plain).load_report.missing == ()
    assert mmbackbones.build(  # its blocks have no 1x1 in front
        "resnet18", pretrained=_save(tmp_path / "r18_caffe.pth", mmbackbones.build("resnet18").state_dict())
    )


@pytest.mark.parametrize(
    ("name", "size", "table"),
    [
        ("vit_tiny_patch16_224", 160, "pos_embed"),
        ("swin_tiny_patch4_window7_224", 256, ""),
        ("beit_base_patch16_224", 160, "blocks.0.attn.relative_position_bias_table"),
    ],
)
def test_weights_are_resampled_for_another_image_size_as_timm_does(
    name: str, size: int, table: str, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"img_size": size}
    if name.startswith("swin"):
        arguments["window_size"] = 8
        table = "layers.0.blocks.0.attn.relative_position_bias_table"
    smaller = {"depth": 4} if not name.startswith("swin") else {"depths": (1, 1, 1, 1)}
    made = timm.create_model(name, pretrained=False, **smaller)
    torch.nn.init.normal_(made.get_parameter(table))
    file = _save(tmp_path / "w.pth", made.state_dict())
    net = mmbackbones.build(f"timm:{name}", pretrained=file, net_kwargs={**arguments, **smaller})
    assert (net.load_report.missing, net.load_report.unexpected) == ((), ())
    overlay = {"file": file}
    theirs = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments, **smaller)
    assert net.get_parameter(table).shape != made.get_parameter(table).shape
    torch.testing.assert_close(net.get_parameter(table), theirs.get_parameter(table))


def test_a_foreign_file_is_refused_by_name_and_not_by_timms_filter(tmp_path: Path) -> None:
    file = _save(tmp_path / "w.pth", mmbackbones.build("resnet18").state_dict())
    with pytest.raises(InputError, match="does not fit: .*Of the names 0% match"):
        mmbackbones.build("timm:vit_tiny_patch16_224", pretrained=file)


@pytest.mark.parametrize("old", sorted(timm.models.get_deprecated_models()))
def test_every_old_name_of_timm_means_a_present_one(old: str) -> None:
    from mmbackbones.feature_nets.specs import current_name

    with pytest.warns(UserWarning, match=f"timm calls '{old}'"):
        present = current_name(old)
    base, _, tag = present.partition(".")
    assert base in timm.list_models()
    assert not tag or present in timm.list_pretrained(f"{base}.*")


def test_an_old_name_of_timm_is_built_with_its_weights() -> None:
    with pytest.warns(UserWarning, match=r"timm calls 'tv_resnet34' 'resnet34.tv_in1k' now"):
        net = mmbackbones.build("timm:tv_resnet34")
    assert net.spec.upstream == "resnet34.tv_in1k"
    assert net.spec.weights == ("timm://resnet34.tv_in1k",)


@pytest.mark.parametrize("name", ["timm:resnetv2_50x1_bit", "timm:nf_resnet26"])
def test_weights_that_are_standardised_are_not_adapted_to_other_channels(name: str, tmp_path: Path) -> None:
    arguments = {"out_strides": (4,)}
    file = _save(tmp_path / "w.pth", mmbackbones.build(name, **arguments).state_dict())
    for channels in (1, 4):
        with pytest.raises(InputError, match=rf"in_channels={channels}: .*StdConv.* standardises"):
            mmbackbones.build(name, pretrained=file, in_channels=channels, **arguments)


@pytest.mark.parametrize("channels", [1, 6])
def test_channels_behind_space_to_depth_are_adapted(channels: int, tmp_path: Path) -> None:
    rgb = mmbackbones.build("timm:tresnet_m", out_strides=(4,)).eval()
    file = _save(tmp_path / "w.pth", rgb.state_dict())
    net = mmbackbones.build("timm:tresnet_m", out_strides=(4,), in_channels=channels, pretrained=file).eval()
    image = torch.randn(1, 1 if channels == 1 else 3, 64, 64)
    with torch.no_grad():
        given = net(image if channels == 1 else image.repeat(1, 2, 1, 1))
        wanted = rgb(image.expand(1, 3, 64, 64))
    torch.testing.assert_close(given[0], wanted[0], rtol=1e-4, atol=1e-5)


def test_a_file_without_a_stage_is_refused(tmp_path: Path) -> None:
    """As of a TridentNet or a detector on C4; for the maps that it has it does."""
    state = mmbackbones.build("timm:resnet10t").state_dict()
    file = _save(tmp_path / "c4.pth", {k: v for k, v in state.items() if not k.startswith("layer4.")})
    said = r"c4.pth does not fit: it has nothing of stage 4 of 4, such as layer4\..*out_indices=\(0, 1, 2\)"
    with pytest.raises(InputError, match=said):
        mmbackbones.build("timm:resnet10t", pretrained=file)
    net = mmbackbones.build("timm:resnet10t", pretrained=file, out_indices=(0, 1, 2))
    assert net.load_report.missing == ()


def test_a_tridentnet_is_refused_where_its_file_says_so(tmp_path: Path) -> None:
    state = mmbackbones.build("timm:resnet26").state_dict()
    meta = {"config": "backbone=dict(type='TridentResNet', depth=50, trident_dilations=(1, 2, 3))"}
    file = _save(tmp_path / "w.pth", {"state_dict": state, "meta": meta})
    with pytest.raises(InputError, match=r"w.pth is of a TridentResNet, by its config.*Take weights of timm"):
        mmbackbones.build("timm:resnet26", pretrained=file)


def test_layers_behind_the_network_are_said(tmp_path: Path) -> None:
    """Of another library's file too: a last norm may be left out silently, a convolution may not."""
    state = _openmmlab(timm.create_model("resnet18d", pretrained=False).state_dict())
    more = {"norm3.weight": torch.ones(512), "fuse.conv.weight": torch.ones(7, 512, 1, 1)}
    net = mmbackbones.build("timm:resnet18d", pretrained=_save(tmp_path / "w.pth", {**state, **more}))
    assert net.load_report.unexpected == ("fuse.conv.weight",)
    assert "norm3.weight" in net.load_report.ignored


def test_a_file_of_one_block_more_is_refused(tmp_path: Path) -> None:
    """Although more than nine in ten names fit."""
    deeper = mmbackbones.build("convnext_atto", net_kwargs=dict(depths=(2, 2, 7, 2)))
    file = _save(tmp_path / "w.pth", deeper.state_dict())
    net = mmbackbones.build("convnext_atto", init_cfg=dict(type="Pretrained", checkpoint=file))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(
        InputError, match=r"w.pth does not fit: .* differ: only the file has stages.2.blocks.6."
    ):
        net.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
