"""What swap and own networks refuse, as the command says it: the bad value, and what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from own_cases import registered  # noqa: F401
from refusals import MODEL, R18, config, refused

from mmbackbones.cli import main

pytest.importorskip("mmdet", reason="mmdet comes with the extra mm")
pytestmark = pytest.mark.usefixtures("registered")

NETS = """
import torch
from torch import nn

from mmbackbones import register_backbone


class Net(nn.Module):
    def __init__(self, window, changes):
        super().__init__()
        convs = [nn.Conv2d(8 if k else 3, 8, window, window) for k in range(4)]
        self.convs, self.changes = nn.ModuleList(convs), changes

    def forward(self, x):
        maps = []
        for conv in self.convs:
            x = conv(x).relu()
            maps.append(x)
        return maps[::-1] if self.changes and self.training else dict(enumerate(maps))


@register_backbone("tokens")
class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*[nn.Linear(3, 3) for _ in range(4)])

    def forward(self, x):
        return self.layers(x.flatten(2).transpose(1, 2)).mean(1)


register_backbone("thirds", lambda: Net(3, False))
register_backbone("changing", lambda: Net(2, True))
"""


#: The model, the backbone, and what is said of it.
SWAPS: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "no backbone": (
        dict(type="RetinaNet"),
        "resnet50",
        ("model RetinaNet has no `backbone", "Take a config whose"),
    ),
    "several backbones": (
        dict(type="X", one=MODEL, two=MODEL),
        "resnet50",
        ("'one' (ResNet), 'two' (ResNet)", "Say at= (--at)"),
    ),
    "several readers behind a neck": (
        dict(
            MODEL,
            mask_neck=dict(type="MyNeck", in_channels=R18[1:]),
            mask_head=dict(type="H", in_channels=R18),
        ),
        "resnet50",
        (f"{R18} channels: neck (FPN), mask_neck (MyNeck), mask_head (H)", "Only neck", "mmbackbones info"),
    ),
    "several readers without a neck": (
        dict(
            {key: MODEL[key] for key in ("type", "backbone")},
            encoder=dict(type="E", layers=[dict(in_channels=R18)]),
            bbox_head=dict(type="H", in_channels=R18),
        ),
        "resnet50",
        ("bbox_head (H), encoder.layers.0 (", "Only bbox_head would"),
    ),
    "a stride that it lacks": (
        MODEL,
        "lenet5",
        ("'lenet5' has maps at strides (2, 4) only", "one at stride 32", "list --strides 4,8,16,32"),
    ),
    "a head of fixed width": (
        dict(type="FCOS", backbone=MODEL["backbone"], bbox_head=dict(type="FCOSHead", num_classes=3)),
        "resnet50",
        ("no argument tells bbox_head (FCOSHead): the width is fixed", "Give such a head an in_channels"),
    ),
    "an unknown backbone": (MODEL, "resnet51", ("Unknown backbone 'resnet51'. Nearest: resnet50",)),
}


@pytest.mark.parametrize("case", SWAPS)
def test_swap(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, name, words = SWAPS[case]
    out = tmp_path / "out.py"
    said = refused(capsys, "swap", config(tmp_path / "base.py", **model), "--backbone", name, "-o", out)
    assert [word for word in words if word not in said] == [], said
    assert not out.exists()


def test_an_unknown_config_has_near_names(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "swap", "mmdet::detr_r50_8xb2-150e_cocoo", "--backbone", "resnet18")
    assert "no config file or name 'mmdet::detr_r50_8xb2-150e_cocoo'" in said
    assert "Nearest names: mmdet::detr/detr_r50_8xb2-150e_coco" in said


def test_a_reader_of_another_backbones_maps_is_none(tmp_path: Path) -> None:
    """As in mmdet's LAD, whose teacher has backbone, neck and head of its own."""
    teacher = {f"teacher_{key}": MODEL[key] for key in ("backbone", "neck", "bbox_head")}
    out = tmp_path / "out.py"
    words = ["swap", config(tmp_path / "base.py", **MODEL, **teacher), "--backbone", "resnet50", "-o", out]
    with pytest.raises(SystemExit) as end:
        main([*map(str, words), "--no-pretrained"])
    assert end.value.code == 0
    made = Config.fromfile(out).model
    assert (made.teacher_neck.in_channels, made.neck.in_channels) == (R18, [256, 512, 1024, 2048])


#: By the name of a net in NETS.
OWN = {
    "tokens": ("'tokens': it has no maps: for an image of 1344x1792", "put back into rows and columns"),
    "thirds": (
        "'thirds': its maps have no strides that are powers of two",
        "at strides 3, 9",
        "strides of 2",
    ),
    "changing": (
        "'changing': in train() the map of stride 2 is that of output[3] with 8 channels",
        "in eval() that of output[0]",
        "Let forward do the same in both",
        "taps={2: '<module>'}",
    ),
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nets") / "nets_that_are_none.py"
    path.write_text(NETS)
    return path


@pytest.mark.parametrize("name", OWN)
def test_own_networks(name: str, nets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = config(tmp_path / "base.py", **MODEL)
    for words in (["info", name], ["swap", base, "--backbone", name]):
        said = refused(capsys, *words, "--import", nets)
        assert [part for part in OWN[name] if part not in said] == [], said
    with pytest.raises(SystemExit) as end:
        main(["check", name, "--import", str(nets)])
    assert end.value.code == 1
    shown = capsys.readouterr().out
    assert "fails     strides and channels: " in shown
    assert [part for part in OWN[name] if part not in shown] == [], shown


def test_the_list_says_once_which_networks_it_leaves_out(
    nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "list", "tokens*", "--import", nets)
    assert sorted(line.partition(": ")[2][:8] for line in said.splitlines()[:-1]) == [
        *("'changin", "'thirds'", "'tokens'"),
    ]
    assert said.splitlines()[-1].startswith("Error: No backbone in the catalog fits 'tokens*'")
    assert "UserWarning" not in said
