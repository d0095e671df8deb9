"""Mixed precision of trainings: in bfloat16 on the CPU, as on GPUs that have it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import OPTIM_WRAPPERS

from mmbackbones.cli import main
from mmbackbones.compose.configs import load_config
from mmbackbones.data.shapes import write_shapes
from mmbackbones.engine.precision import BFloat16OptimWrapper, choose_precision, use_precision

CONFIGS = (
    "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160",
    "segmentation/deeplabv3plus_resnet18-scratch-d16_1xb8-8k_cityscapes-360x480",
)


@pytest.fixture
def capability(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: request.param)


@pytest.mark.parametrize(
    ("capability", "chosen"), [((7, 5), "fp16"), ((8, 0), "bf16")], indirect=["capability"]
)
def test_a_gpu_gets_what_it_has(capability: None, chosen: str) -> None:
    assert choose_precision("auto", "cuda") == chosen
    assert choose_precision("fp16", "cuda") == "fp16"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_what_is_asked_for_replaces_the_configs_own(precision: str) -> None:
    cfg = Config(
        dict(optim_wrapper=dict(type="AmpOptimWrapper", dtype="float32", loss_scale=8.0, optimizer={}))
    )
    assert "float16" in use_precision(cfg, precision)
    bf16 = dict(type="mmbackbones.BFloat16OptimWrapper", optimizer={})
    fp16 = dict(type="AmpOptimWrapper", dtype="float16", loss_scale=8.0, optimizer={})
    assert cfg.optim_wrapper.to_dict() == (bf16 if precision == "bf16" else fp16)


def test_the_forward_pass_is_in_bfloat16_and_the_weights_are_not() -> None:
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    wrapper = OPTIM_WRAPPERS.build(dict(type="mmbackbones.BFloat16OptimWrapper", optimizer=optimizer))
    assert isinstance(wrapper, BFloat16OptimWrapper)
    with wrapper.optim_context(net):
        out = net(torch.ones(1, 2))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert net.weight.dtype == torch.float32


@pytest.mark.parametrize("name", CONFIGS)
def test_a_training_on_the_cpu(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, work = write_shapes(tmp_path / "shapes", train=4, val=2, size=(64, 64)), tmp_path / "work"
    words = ["train", name, "--data", str(data), "--work-dir", str(work), "--amp", "--epochs", "1"]
    words += ["--img-scale", "64x64", "--batch-size", "2", "--device", "cpu", "--seed", "0", "--cfg-options"]
    words += [f"val_{part}=None" for part in ("cfg", "dataloader", "evaluator")]
    with pytest.raises(SystemExit) as left:
        main([*words, "train_dataloader.num_workers=0", "train_dataloader.persistent_workers=False"])
    assert left.value.code == 0
    assert "mixed precision: bfloat16" in capsys.readouterr().out
    logs = [json.loads(line) for file in work.rglob("scalars.json") for line in file.read_text().splitlines()]
    losses = [row["loss"] for row in logs if "loss" in row]
    assert losses
    assert all(map(math.isfinite, losses))
    written = load_config(str(work / "config.py"))
    assert written.optim_wrapper.type == "mmbackbones.BFloat16OptimWrapper"
