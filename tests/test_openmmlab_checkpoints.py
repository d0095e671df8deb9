"""OpenMMLab's own checkpoints: read by order and shape, with the maps of their own class; or refused."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

import mmbackbones
from mmbackbones import InputError
from mmbackbones.weights.checkpoints import by_our_names, load_model
from mmbackbones.weights.counterpart_rows import COUNTERPARTS
from mmbackbones.weights.counterparts import every_counterpart
from mmbackbones.weights.loading import read_for
from mmbackbones.weights.openmmlab_classes import Counterpart

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "checkpoints.py"))
LIMIT = 1e-9  # in double precision, of a map's largest value
TINY_SWIN = dict(embed_dim=24, depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 4), always_partition=True)


def tiny_swin(depths: tuple[int, ...] = (2, 2, 2, 2)) -> nn.Module:
    """mmdet's, all of it by chance."""
    swin = pytest.importorskip("mmdet.models.backbones.swin", reason="mmdet comes with the extra mm")
    net = swin.SwinTransformer(embed_dims=24, depths=depths, num_heads=(1, 2, 2, 4))
    SCRIPT["randomise"](net)
    return net


def save(path: Path, state: dict[str, Tensor], **more: Any) -> str:
    torch.save({"meta": {}, "state_dict": state, **more}, path)
    return str(path)


@pytest.mark.parametrize("row", COUNTERPARTS, ids=lambda row: f"{row.theirs}-{row.name}")
def test_maps_are_those_of_the_class(row: Counterpart, tmp_path: Path) -> None:
    package = row.theirs.partition(".")[0]
    if package == "mmpretrain" and not SCRIPT["find_mmpretrain"]():
        pytest.skip("mmpretrain is no dependency: install it, or name its folder in MMBACKBONES_MMPRETRAIN")
    if package != "mmpretrain":
        pytest.importorskip(package, reason=f"{package} comes with the extra mm")
    assert SCRIPT["difference"](row, tmp_path) <= LIMIT


def test_the_page_has_a_row_for_each_class_that_was_compared() -> None:
    """``python docs/checkpoints.py`` takes minutes, so its figures stay; the rows must be those of now."""
    page = SCRIPT["PAGE"].read_text(encoding="utf-8")
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| mm")]
    rows = [(line[0], line[2].split("`")[1]) for line in lines if len(line) > 2]
    small = [(row.theirs, row.name) for row in COUNTERPARTS]
    assert rows[: len(small)] == small
    others = [(row.theirs, row.name) for row in every_counterpart()][len(small) :]
    assert rows[len(small) :] == [row for row in others if row in rows]  # those that have been run
    assert all(float(line[3]) <= LIMIT for line in lines if len(line) > 2)


def detector(depths: tuple[int, ...] = (2, 2, 2, 2), classes: int = 3) -> nn.Module:
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    swin = dict(type="mmbackbones.swin_tiny", net_kwargs={**TINY_SWIN, "depths": depths})
    norms = dict(type="mmbackbones.LevelNorm", in_channels=[24, 48, 96, 192])
    fpn = dict(type="mmdet.FPN", in_channels=[24, 48, 96, 192], out_channels=8, num_outs=5)
    head = dict(type="mmdet.RetinaHead", num_classes=classes, in_channels=8, feat_channels=8, stacked_convs=1)
    return MODELS.build(dict(type="mmdet.RetinaNet", backbone=swin, neck=[norms, fpn], bbox_head=head))


def zoo_file(path: Path) -> str:
    """A detector as mmdet writes one: its own Swin with the norms in it, one neck, a head for 3 classes."""
    model = detector()
    state = {f"backbone.{name}": value for name, value in tiny_swin().state_dict().items()}
    rest = {k: v for k, v in model.state_dict().items() if k.startswith(("neck.1.", "bbox_head."))}
    state |= {name.replace("neck.1.", "neck."): value for name, value in rest.items()}
    return save(path, state)


def test_a_detector_of_the_zoo_is_tested_as_it_is(tmp_path: Path) -> None:
    file, model = zoo_file(tmp_path / "zoo.pth"), detector()
    given = torch.load(file)["state_dict"]
    load_model(model, file)  # as test and predict do: every name has to be there
    own = model.state_dict()
    assert torch.equal(own["neck.0.norms.2.weight"], given["backbone.norm2.weight"])
    assert torch.equal(own["neck.1.fpn_convs.0.conv.weight"], given["neck.fpn_convs.0.conv.weight"])
    last = ("backbone.layers.3.blocks.1.mlp.fc2.bias", "backbone.stages.3.blocks.1.ffn.layers.1.bias")
    assert torch.equal(own[last[0]], given[last[1]])
    assert torch.equal(own["bbox_head.retina_cls.bias"], given["bbox_head.retina_cls.bias"])


def runner(model: nn.Module, work: Path) -> Any:
    from mmbackbones.engine.runner import Runner

    return Runner(model=model, work_dir=str(work), cfg=Config({}), default_scope="mmdet")


def test_training_goes_on_from_a_detector_with_other_classes(tmp_path: Path, capsys) -> None:
    file, model = zoo_file(tmp_path / "zoo.pth"), detector(classes=5)
    runner(model, tmp_path / "work").load_checkpoint(file)
    given = torch.load(file)["state_dict"]
    first = model.backbone.patch_embed.proj.weight
    assert torch.equal(first, given["backbone.patch_embed.projection.weight"])
    said = capsys.readouterr()
    said = said.out + said.err
    assert "of another shape, left out: bbox_head.retina_cls.weight, bbox_head.retina_cls.bias" in said
    assert "missing" not in said
    assert "unexpected" not in said


def test_a_deeper_swin_is_refused_everywhere(tmp_path: Path) -> None:
    deeper = tiny_swin((2, 2, 4, 2)).state_dict()
    file = save(tmp_path / "small.pth", {f"backbone.{name}": value for name, value in deeper.items()})
    layer = r"differ: only the file has stages\.2\.blocks\.2\..* and \d+ more layers"
    with pytest.raises(InputError, match=rf"small.pth does not fit: \S+ and the network of the file {layer}"):
        mmbackbones.build("swin_tiny", pretrained=file, net_kwargs=TINY_SWIN)
    model = detector()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match=f"is of another model than the config.*{layer}"):
        load_model(model, file)
    with pytest.raises(InputError, match=f"load_from=.*is of another model than the config.*{layer}"):
        runner(model, tmp_path / "work").load_checkpoint(file)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_deeper_swin_under_our_names_is_refused_too(tmp_path: Path) -> None:
    file = save(tmp_path / "ours.pth", detector((2, 2, 18, 2)).state_dict())
    layer = r"only the file has layers\.2\.blocks\.2\.norm1\.weight and 207 more tensors"
    with pytest.raises(InputError, match=f"is of another model than the config.*{layer}"):
        by_our_names(detector(), torch.load(file), file)
    differ = "The network and that of the file differ"
    with pytest.raises(InputError, match=f"ours.pth does not fit: {differ}: {layer}. Of the names 36% match"):
        mmbackbones.build("swin_tiny", pretrained=file, net_kwargs=TINY_SWIN)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    from mmdet.models.backbones import RegNet

    state = RegNet("regnetx_400mf").state_dict()
    file = save(tmp_path / "regnet.pth", {f"backbone.{name}": value for name, value in state.items()})
    with pytest.raises(
        InputError, match=r"resnet18 and the network of the file differ: the file lacks conv1"
    ):
        mmbackbones.build("resnet18", pretrained=file)


@pytest.mark.parametrize(
    ("kind", "arguments", "name", "reason"),
    [
        ("Res2Net", dict(depth=50, scales=4, base_width=26), "timm:res2net50d", "leaves out the pool"),
        ("Darknet", {}, "darknet53", "slope of 0.1"),
    ],
)
def test_networks_that_only_look_alike_are_refused(
    kind: str, arguments: dict[str, Any], name: str, reason: str, tmp_path: Path
) -> None:
    backbones = pytest.importorskip("mmdet.models.backbones")
    file = save(tmp_path / "w.pth", getattr(backbones, kind)(**arguments).state_dict())
    with pytest.raises(InputError, match=f"w.pth is refused: .*{reason}"):
        mmbackbones.build(name, pretrained=file)


def test_a_shufflenet_that_shuffles_elsewhere_is_refused(tmp_path: Path) -> None:
    """By its names: mmpretrain need not be there."""
    shapes = {"conv1.conv": (24, 3, 3, 3), "layers.0.0.g_conv_1x1_compress.conv": (60, 24, 1, 1)}
    state = {f"backbone.{name}.weight": torch.zeros(shape) for name, shape in shapes.items()}
    file = save(tmp_path / "w.pth", state)
    with pytest.raises(InputError, match=r"w.pth is refused: mmpretrain's ShuffleNetV1 shuffles behind"):
        mmbackbones.build("shufflenet_v1_g3", pretrained=file)


def test_grey_images_and_fewer_maps(tmp_path: Path) -> None:
    """The first convolution is adapted, what lies behind the last map left out, as with our own files."""
    theirs = tiny_swin()
    file = save(tmp_path / "w.pth", theirs.state_dict())
    net = mmbackbones.build(
        "swin_tiny", pretrained=file, net_kwargs=TINY_SWIN, in_channels=1, out_strides=(4, 8), frozen_stages=1
    )
    assert (net.load_report.missing, net.load_report.unexpected) == ((), ())
    assert net.load_report.adapted == ("patch_embed.proj.weight",)
    grey = torch.randn(1, 1, 64, 96)
    net.eval()
    theirs.eval()
    theirs.norm1 = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(net(grey)[1], theirs(grey.expand(-1, 3, -1, -1))[1], atol=1e-4, rtol=1e-4)


def test_a_file_whose_names_were_sorted_is_refused(tmp_path: Path) -> None:
    """Order is what tells its layers apart."""
    state = tiny_swin().state_dict()
    file = save(tmp_path / "w.pth", {name: state[name] for name in sorted(state)})
    with pytest.raises(InputError, match="its names are sorted: the order of its layers is lost"):
        mmbackbones.build("swin_tiny", pretrained=file, net_kwargs=TINY_SWIN)


def test_mmsegs_hrnet_is_refused_where_its_file_says_so(tmp_path: Path) -> None:
    """The same names and shapes as mmdet's; its branches are joined otherwise."""
    names = ("backbone.conv1.weight", "decode_head.conv_seg.weight")
    meta = {"config": "model = dict(backbone=dict(type='HRNet'), decode_head=dict(type='FCNHead'))"}
    file = tmp_path / "w.pth"
    torch.save({"meta": meta, "state_dict": dict.fromkeys(names, torch.zeros(64, 3, 3, 3))}, file)
    fuses = nn.Module()
    fuses.fuse_layers = nn.ModuleList()
    with pytest.raises(InputError, match=r"w.pth is of mmseg's HRNet, by its config: .* Take timm's weights"):
        read_for(fuses, str(file), "")
    assert read_for(nn.Linear(2, 2), str(file), "").keys() == set(names)  # a net without branches
    meta["config"] = meta["config"].replace("HRNet", "mmbackbones.Backbone")
    torch.save({"meta": meta, "state_dict": dict.fromkeys(names, torch.zeros(1))}, file)
    assert read_for(fuses, str(file), "").keys() == set(names)  # trained here
