"""Checkpoints of a nearly equal network, and names of no weights, at the command: read from the console."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from refusals import BASES, MODEL, config, refused
from torch import Tensor, nn

import mmbackbones
from mmbackbones.cli import main

pytest.importorskip("mmdet", reason="mmdet comes with the extra mm")


def blank(net: nn.Module, start: str = "backbone.") -> dict[str, Tensor]:
    """A state dict whose tensors share one number each, so that a file of it is small."""
    state = net.state_dict().items()
    return {f"{start}{name}": torch.zeros((), dtype=v.dtype).expand(v.shape) for name, v in state}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (64, 64), (90, 120, 60)).save(path)
    return path


def test_a_swin_s_is_no_swin_t(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By mmdet's names and by ours."""
    from mmdet.models.backbones import SwinTransformer

    widths, heads = [24, 48, 96, 192], (1, 2, 2, 4)
    narrow = dict(embed_dim=24, num_heads=heads, always_partition=True)
    tiny = dict(type="mmbackbones.swin_tiny", net_kwargs=narrow)
    neck = dict(MODEL["neck"], in_channels=widths)
    cfg = config(tmp_path / "cfg.py", BASES, **{**MODEL, "backbone": tiny, "neck": neck})
    theirs = SwinTransformer(embed_dims=24, depths=(2, 2, 18, 2), num_heads=heads)
    ours = mmbackbones.build("swin_small", net_kwargs=narrow)
    layers = {
        "theirs.pth": (
            theirs,
            "and the network of the file differ: only the file has stages.2.blocks.6.",
        ),
        "ours.pth": (ours, "layers.2.blocks.6.norm1.weight does not: only the file has layers.2.blocks.6."),
    }
    for name, (net, said) in layers.items():
        file = tmp_path / name
        torch.save({"state_dict": blank(net)}, file)
        shown = refused(capsys, "predict", cfg, file, picture, "--device", "cpu")
        assert f"{file} is of another model than the config" in shown
        assert said in shown


FUSING = """
from torch import nn
from mmbackbones import register_backbone

@register_backbone("fusing")
class Fusing(nn.Module):
    def __init__(self, in_channels=3):
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 8, 7, 4, 3)
        self.fuse_layers = nn.ModuleList([nn.Conv2d(8, 8, 3, 2, 1) for _ in range(3)])

    def forward(self, x):
        maps = [self.stem(x)]
        for layer in self.fuse_layers:
            maps.append(layer(maps[-1]))
        return maps
"""


def test_a_segmentor_with_an_hrnet_and_no_config_is_warned_of(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """mmseg's HRNet has the same names, and other maps. Here a net with branches so called stands for it."""
    pytest.importorskip("mmseg", reason="mmseg comes with the extra mm")
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fusing_net.py").write_text(FUSING)
    head = dict(type="FCNHead", in_channels=8, channels=8, in_index=3, num_convs=1, num_classes=2)
    (tmp_path / "cfg.py").write_text(
        "_base_ = ['mmseg::_base_/default_runtime.py', 'mmseg::_base_/datasets/pascal_voc12.py']\n"
        "custom_imports = dict(imports=['fusing_net'])\n"
        "model = dict(type='EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor'), "
        f"backbone=dict(type='mmbackbones.fusing'), decode_head={head!r}, test_cfg=dict(mode='whole'))\n"
        "test_cfg = dict(type='TestLoop')\n"
    )
    cfg = Config.fromfile(tmp_path / "cfg.py")
    init_default_scope("mmseg")
    file = tmp_path / "hrnet.pth"
    MMLogger.get_instance(str(file))  # that of an earlier test writes where nobody reads
    for meta, warned in (({}, True), ({"cfg": "backbone=dict(type='mmbackbones.fusing')"}, False)):
        meta["dataset_meta"] = {"classes": ["sky", "road"]}
        torch.save({"meta": meta, "state_dict": MODELS.build(cfg.model).state_dict()}, file)
        with pytest.raises(SystemExit) as end:
            main(["predict", "cfg.py", str(file), str(picture), "--device", "cpu", "--out", "out"])
        assert end.value.code == 0
        shown = " ".join("".join(capsys.readouterr()).split())
        assert ("If that is mmseg's HRNet, the results are wrong" in shown) is warned
        assert Path("out").is_dir()


@pytest.mark.parametrize("command", ["config", "swap"])
def test_weights_that_are_nowhere(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command takes --weights; nobody typed pretrained=."""
    out = tmp_path / "my.py"
    words = {
        "config": ["config", "--model", "retinanet", "--backbone", "resnet18"],
        "swap": ["swap", config(tmp_path / "cfg.py", BASES, **MODEL), "--backbone", "resnet18"],
    }
    shown = refused(capsys, *words[command], "--weights", "gone.pth", "-o", out)
    assert "Weights 'gone.pth' are neither a file that exists nor a tag of 'resnet18'. Tags: a1_in1k" in shown
    assert "pretrained=" not in shown
    assert not out.exists()
