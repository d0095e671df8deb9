"""``mmbackbones convert --backbone``: a backbone's weights by our names and by OpenMMLab's, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import mmbackbones
from mmbackbones import InputError
from mmbackbones.cli import app
from mmbackbones.weights.counterpart_rows import COUNTERPARTS
from mmbackbones.weights.openmmlab_classes import Counterpart

#: One of each way to lay a tensor out.
ROWS = [
    row
    for row in COUNTERPARTS
    if row.theirs
    in (
        *("mmdet.RegNet", "mmdet.SwinTransformer", "mmseg.ResNetV1c", "mmdet.HRNet"),
        "mmdet.PyramidVisionTransformerV2",
    )
]


def convert(*words: object) -> str:
    done = CliRunner().invoke(app, ["convert", *map(str, words)])
    if isinstance(done.exception, InputError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def weights(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.theirs)
def test_there_and_back(row: Counterpart, tmp_path: Path) -> None:
    pytest.importorskip(row.theirs.partition(".")[0], reason="mmdet and mmseg come with the extra mm")
    given = row.build_theirs().state_dict()
    for value in given.values():
        if value.is_floating_point():
            torch.nn.init.normal_(value)
    torch.save(
        {"state_dict": {f"backbone.{name}": value for name, value in given.items()}}, tmp_path / "theirs.pth"
    )
    said = convert(tmp_path / "theirs.pth", "--backbone", row.name, "-o", tmp_path / "ours.pth")
    ours = weights(tmp_path / "ours.pth")
    assert f"ours.pth, {len(ours)} tensors" in said
    own = mmbackbones.build(row.name, net_kwargs=row.ours.get("net_kwargs"))
    assert ours.keys() == own.state_dict().keys()
    back = tmp_path / "back.pth"
    said = convert(
        tmp_path / "ours.pth", "--backbone", row.name, "--to", "openmmlab", "--like", row.theirs, "-o", back
    )
    found = weights(back)
    assert list(found) == list(given)
    norms = {name for name in given if name.startswith("norm")}  # behind the maps: not in ours
    assert all(torch.equal(found[name], value) for name, value in given.items() if name not in norms)
    named = f"Of a new {row.theirs}, since {tmp_path / 'ours.pth'} has no norms of these maps: norm0.weight"
    assert (named in said) is bool(norms)
    convert(
        tmp_path / "ours.pth", "--backbone", row.name, "--to", "openmmlab", "--like", tmp_path / "theirs.pth",
        "-o", back, "--force",
    )  # fmt: skip
    found = weights(back)
    assert all(torch.equal(found[name], value) for name, value in given.items())


def test_norms_of_the_maps_come_from_the_neck_that_held_them(tmp_path: Path) -> None:
    """Of a detector trained here, whose neck has those of the three maps that it got."""
    pytest.importorskip("mmdet", reason="mmdet comes with the extra mm")
    net = mmbackbones.build("swin_tiny", net_kwargs=dict(always_partition=True))
    norms = {
        f"neck.0.norms.{k}.{role}": torch.rand(192 << k) for k in range(3) for role in ("weight", "bias")
    }
    file, out = tmp_path / "best.pth", tmp_path / "theirs.pth"
    torch.save({"state_dict": {f"backbone.{k}": v for k, v in net.state_dict().items()} | norms}, file)
    words = ("--backbone", "swin_tiny", "--to", "openmmlab", "--like", "mmdet.SwinTransformer", "-o", out)
    assert f"since {file} has no norms of these maps: norm0.weight, norm0.bias\n" in convert(file, *words)
    found = weights(out)
    for name, value in norms.items():
        level, role = name.split(".")[-2:]
        assert torch.equal(found[f"norm{int(level) + 1}.{role}"], value)


def test_mmdet_reads_what_was_trained_here(tmp_path: Path) -> None:
    """As ``init_cfg`` of its own class, with the same maps."""
    pytest.importorskip("mmdet", reason="mmdet comes with the extra mm")
    from mmdet.registry import MODELS

    ours = mmbackbones.build("resnet18").eval()
    for name, value in ours.state_dict().items():
        if value.is_floating_point():
            torch.nn.init.uniform_(value, 0.5 if name.endswith("var") else -0.5, 1.0)
    state = {f"backbone.{name}": value for name, value in ours.state_dict().items()}
    trained, out = tmp_path / "best.pth", tmp_path / "theirs.pth"
    torch.save({"meta": {"epoch": 3}, "state_dict": {**state, "bbox_head.w": torch.ones(1)}}, trained)
    convert(trained, "--backbone", "resnet18", "--to", "openmmlab", "--like", "mmdet.ResNet", "-o", out)
    theirs = MODELS.build(
        dict(type="mmdet.ResNet", depth=18, init_cfg=dict(type="Pretrained", checkpoint=str(out)))
    )
    theirs.init_weights()
    theirs.eval()
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for found, expected in zip(theirs(x), ours(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "openmmlab"], "name it, as in --backbone"),
        (
            ["--to", "keras", "--backbone", "resnet18"],
            "--to 'keras' is not known; use mmbackbones or openmmlab",
        ),
        (["--backbone", "resnet18", "--eps", "0.1"], "--classes and --eps are for torchvision's models"),
        (
            ["--backbone", "resnet18", "--to", "openmmlab", "--like", "mmdet.ResNext"],
            "Nearest: .*mmdet.ResNeXt",
        ),
        (
            ["--backbone", "resnet18", "--to", "openmmlab", "--like", "mmseg.UNet"],
            "no backbone here computes what it does, it holds encoder and decoder",
        ),
        (
            ["--backbone", "resnet18", "--to", "openmmlab", "--like", "mmdet.RegNet"],
            "there are regnetx_.*, not resnet18. Take --like mmdet.ResNet or ",
        ),
        (
            ["--backbone", "resnet18", "--to", "openmmlab", "--like", "{deeper}"],
            "only the file has layer1.2.conv1.weight .* more layers",
        ),
        (["--backbone", "resnet34"], "does not fit"),
    ],
)
def test_what_cannot_be_converted(words: list[str], message: str, tmp_path: Path) -> None:
    torch.save(mmbackbones.build("resnet18").state_dict(), tmp_path / "ours.pth")
    torch.save(mmbackbones.build("resnet34").state_dict(), tmp_path / "deeper.pth")
    words = [word.format(deeper=tmp_path / "deeper.pth") for word in words]
    with pytest.raises(InputError, match=message):
        convert(tmp_path / "ours.pth", *words, "-o", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()
