"""What a training says on the console of the weights that it begins with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from warm import Command

import mmbackbones
from mmbackbones.data.shapes import write_shapes

CONFIG = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
SMALL = ["--img-scale", "64x64", "--batch-size", "2", "--epochs", "1", "--device", "cpu", "--seed", "0"]


def test_gaps_in_weights_are_said_on_the_console(tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    data = write_shapes(tmp_path / "shapes", train=2, val=2, size=(64, 64))
    whole = mmbackbones.build("mobilenetv3_large_100").state_dict()
    gap = {name: value for name, value in whole.items() if not name.startswith("blocks.6.")}
    torch.save(gap, tmp_path / "backbone.pth")
    torch.save({"lateral_convs.0.conv.bias": torch.zeros(256)}, tmp_path / "neck.pth")
    odd = {"backbone.conv_stem.weight": whole["conv_stem.weight"], "extra": torch.ones(1)}
    torch.save(odd, tmp_path / "detector.pth")
    options = [
        f"model.{part}.init_cfg.{key}={value}"
        for part in ("backbone", "neck")
        for key, value in (("type", "Pretrained"), ("checkpoint", tmp_path / f"{part}.pth"))
    ]
    options.append(f"load_from={tmp_path / 'detector.pth'}")
    words = [
        "train",
        CONFIG,
        "--data",
        data,
        "--work-dir",
        tmp_path / "work",
        *SMALL,
        "--cfg-options",
        *options,
    ]
    output = Command(words, tmp_path / "output.txt").end(0)
    lines = [line for line in output.splitlines() if "WARNING" in line]
    assert len(lines) == 3, output
    assert f"from {tmp_path}/backbone.pth: {len(gap)} tensors loaded; missing: blocks.6." in lines[0]
    assert "The model and loaded state dict do not match exactly" in lines[1]
    assert "missing keys in source state_dict: lateral_convs.0.conv.weight" in output
    assert f"load_from={tmp_path}/detector.pth: 1 tensors loaded; missing: backbone." in lines[2]
    assert lines[2].endswith("unexpected: extra")
