"""Segmenters whose parts or labels do not fit: one message before the training, status 2, no traceback."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmbackbones import InputError, build
from mmbackbones.cli import main
from mmbackbones.compose.configs import apply_options, load_config, parse_options
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.engine.checks import check_channels, check_heads, check_sync_bn
from mmbackbones.engine.label_checks import check_size, check_values
from mmbackbones.engine.runner import Runner, build_runner

DEEPLAB = "segmentation/deeplabv3plus_resnet18-scratch-d16_1xb8-8k_cityscapes-360x480"
SMALL = ["--img-scale", "64x64", "--batch-size", "2", "--epochs", "1", "--device", "cpu"]


#: For the fixture ``shapes``.
SHAPES = dict(train=2, val=2)


#: Config, options, and what the message must have: the bad value, what there is, and what to write.
WRONG = {
    "channels": (
        *(DEEPLAB, "model.decode_head.in_channels=2048"),
        *("in_channels=2048", "[64, 128, 256, 512]", "write in_channels=512"),
    ),
    "another backbone": (
        *(DEEPLAB, "model.backbone.type=mmbackbones.resnet50"),
        *("decode_head", "in_channels=512", "write in_channels=2048"),
    ),
    "index": (
        *(DEEPLAB, "model.decode_head.in_index=7"),
        *("in_index=7", "strides [4, 8, 16, 16]", "out_strides=(2, 4, 8, 16, 32)"),
    ),
    "low-level channels": (
        *(DEEPLAB, "model.decode_head.c1_in_channels=256"),
        *("c1_in_channels=256", "write c1_in_channels=64"),
    ),
    "output stride": (DEEPLAB, "model.backbone.output_stride=5", "output_stride=5", "(8, 16, 32): write"),
    "no dilation": (
        *(DEEPLAB, "model.backbone.type=mmbackbones.swin_tiny_patch4_window7_224"),
        *("cannot be dilated", "Leave output_stride out", "mmbackbones list --dilatable"),
    ),
    "absent map": (
        *(
            "segmentation/unetpp_resnet18-scratch_1xb8-8k_cityscapes-360x480",
            "model.backbone.out_strides=(4,8,16,32)",
        ),
        *("in_index=[0, 1, 2, 3, 4]", "strides [4, 8, 16, 32]", "no map 4", "out_strides=(2, 4, 8, 16, 32)"),
    ),
    "absent stride": (
        *(
            "segmentation/unetpp_resnet18-scratch_1xb8-8k_cityscapes-360x480",
            "model.backbone.type=mmbackbones.swin_tiny",
        ),
        *("no map at stride 2", "It has (4, 8, 16, 32)", "mmbackbones list --strides 2"),
    ),
    "behind a neck": (
        *(
            "segmentation/upernet_swin-tiny-scratch_1xb8-8k_cityscapes-360x480",
            "model.auxiliary_head.in_channels=512",
        ),
        *(
            "auxiliary_head",
            "in_channels=512",
            "The neck gives maps of [96, 192, 384, 768]",
            "in_channels=384",
        ),
    ),
    "auxiliary of several": (
        *(
            "segmentation/bisenet_resnet18-scratch_1xb8-8k_cityscapes-360x480",
            "model.auxiliary_head.1.in_channels=64",
        ),
        *("auxiliary_head.1", "in_channels=64", "[256, 128, 128]", "write in_channels=128"),
    ),
    "assertion": (
        *(
            "segmentation/bisenet_resnet18-scratch_1xb8-8k_cityscapes-360x480",
            "model.decode_head.num_convs=-1",
        ),
        *("cannot be built", "fcn_head demands: assert num_convs >= 0"),
    ),
}


#: These go through the whole command, all others to the checks alone, which takes a tenth of the time.
COMMANDS = ["index", "no dilation", "assertion"]


@pytest.mark.parametrize("case", COMMANDS)
def test_the_command_says_what_does_not_fit(
    case: str, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, option, *expected = WRONG[case]
    words = ["train", config, "--data", str(shapes), *SMALL, "--work-dir", str(tmp_path / "work")]
    with pytest.raises(SystemExit) as end:
        main([*words, "--cfg-options", option])
    said = capsys.readouterr()
    assert end.value.code == 2, said
    assert [text for text in expected if text not in said.err] == [], said.err
    assert "iter" not in said.out  # no step was made
    assert not list((tmp_path / "work").glob("*.pth"))


@pytest.mark.parametrize("case", [case for case in WRONG if case not in COMMANDS])
def test_parts_that_do_not_fit(case: str) -> None:
    config, option, *expected = WRONG[case]
    cfg = load_config(config)
    apply_options(cfg, parse_options([option]))
    init_default_scope("mmseg")

    def check() -> None:
        check_heads(cfg.model)
        with torch.device("meta"):
            check_channels(cfg.model, MODELS.build(cfg.model))

    with pytest.raises(InputError) as error:
        check()
    assert [text for text in expected if text not in str(error.value)] == [], error.value


def test_as_many_indices_as_channels() -> None:
    check_heads(load_config("mmseg::pidnet-s_2xb6-120k_1024x1024-cityscapes").model)
    for bad in (dict(in_channels=[8, 16], in_index=[0]), dict(in_channels=8, in_index=[0])):
        with pytest.raises(InputError, match=r"auxiliary_head\.1 \(FCNHead\).*lists of the same length"):
            check_heads(dict(auxiliary_head=[{}, dict(type="FCNHead", **bad)]))


# --- labels of the config's own data


def with_own_data(folder: Path, work: Path) -> Config:
    """A config that names the data itself, as a user's does."""
    cfg = load_config(DEEPLAB)
    options = [f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")]
    fit(cfg, Settings(folder, 1, 2, None, "64x64", 0, options), cache_dir=work / "cache")
    cfg.work_dir = str(work)
    return cfg


def spoilt(folder: Path, split: str, edit: Any) -> str:
    """Change a label; returns its name."""
    file = min((folder / "labels" / split).iterdir())
    Image.fromarray(edit(np.array(Image.open(file)))).save(file)
    return file.name


def filled(pixels: np.ndarray) -> np.ndarray:
    return np.full_like(pixels, 77)


def cut(pixels: np.ndarray) -> np.ndarray:
    return pixels[:, :-9]


@pytest.mark.parametrize(
    ("split", "edit", "message"),
    [
        ("train", filled, "holds 77, but the model has num_classes=7: allowed are 0 to 6, and 255"),
        ("val", filled, "holds 77, but the model has num_classes=7"),
        ("val", cut, "is 55x64, its image 64x64"),
    ],
)
def test_labels_that_spoil_a_training(
    split: str, edit: Any, message: str, shapes: Path, tmp_path: Path
) -> None:
    shutil.copytree(shapes, tmp_path / "data")
    cfg = with_own_data(tmp_path / "data", tmp_path / "work")
    name = spoilt(tmp_path / "data", split, edit)
    runner: Runner = build_runner(cfg)
    with pytest.raises(InputError, match=f"{name} {message}"):
        runner.train() if split == "train" else runner.val()


class _Sample(dict):
    """What is read of a sample of mmseg."""


def test_what_labels_may_hold() -> None:
    check_values(torch.tensor([[[0, 18, 255]]]), 19, 255, "a.png")
    for value in (-1, 19, 254):
        with pytest.raises(InputError, match=f"a.png holds {value}, "):
            check_values(torch.tensor([[[0, value, 255]]]), 19, 255, "a.png")
    image = torch.zeros(3, 32, 48)
    for size in ((32, 48), (64, 96)):
        check_size(torch.zeros(1, *size), image, _Sample(ori_shape=(64, 96)))
    with pytest.raises(InputError, match="b.png is 96x32, its image 96x64"):
        check_size(torch.zeros(1, 32, 96), image, _Sample(ori_shape=(64, 96), seg_map_path="b.png"))


def test_sync_bn_of_mmengine_would_remove_activations() -> None:
    from mmengine.model import convert_sync_batchnorm

    net = build("mobilenetv2_100", out_strides=(4,)).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = net(image)[0]
        assert not torch.allclose(
            convert_sync_batchnorm(copy.deepcopy(net), "torch").eval()(image)[0], before
        )
    with pytest.raises(InputError, match="sync_bn='torch' .*activations.*norm_cfg=dict"):
        check_sync_bn("torch", net)
    check_sync_bn("torch", build("resnet18"))
    check_sync_bn(None, net)
