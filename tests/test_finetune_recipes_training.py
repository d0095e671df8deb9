"""Recipes by amount of data in training: what stays frozen in each, DDP, resume."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import SWEEP
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS
from recipe_cases import GRADUAL, SHIPPED, read
from rich.console import Console
from torch import nn
from warm import in_processes

from mmbackbones.cli.together import free_port
from mmbackbones.compose.configs import pipelines, walk
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.engine.devices import start_processes, stop_processes
from mmbackbones.engine.runner import Runner, build_runner
from mmbackbones.engine.train import train
from mmbackbones.registry import MODELS
from mmbackbones.sources.feature_net import PYRAMID_NAME

SWIN, SWIN_TOO = (
    "finetune/faster-rcnn_swin-tiny_fpn_1xb4-hundreds-24e_coco",
    "finetune/upernet_swin-tiny_1xb8-hundreds-20k_ade20k-512x512",
)
FREEZING = [name for name in SHIPPED if "tens-of-thousands" not in name and name != SWIN_TOO]

#: For the fixture ``shapes``.
SHAPES = dict(train=4, val=1)


def without_download(name: str) -> Config:
    cfg = copy.deepcopy(read(name))
    for _, node in walk(cfg.model):
        node.pop("init_cfg", None)
    return cfg


def slim(model: ConfigDict) -> None:
    """Make all behind the backbone small, which is most of the time of a step."""
    if "rpn_head" in model:
        neck = model.neck[-1] if isinstance(model.neck, list) else model.neck
        neck.out_channels = 16
        model.rpn_head.update(in_channels=16, feat_channels=16)
        model.roi_head.bbox_roi_extractor.out_channels = 16
        model.roi_head.bbox_head.update(in_channels=16, fc_out_channels=32)
    else:
        model.decode_head.channels = model.auxiliary_head.channels = 16


def small(name: str, data: Path, folder: Path) -> Config:
    cfg = without_download(name)
    options = [f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")]
    settings = Settings(data, epochs=1, batch_size=2, img_scale="64x64", seed=0, options=options)
    fit(cfg, settings, cache_dir=folder / "cache")
    cfg.work_dir = str(folder)
    slim(cfg.model)
    return cfg


# -- frozen is frozen -----------------------------------------------------------------------------


def test_both_recipes_for_hundreds_treat_swin_alike() -> None:
    """So that the one that is tested below speaks for both."""
    first, second = (dict(read(name).model.backbone) for name in (SWIN, SWIN_TOO))
    rates = [backbone["net_kwargs"].pop("drop_path_rate") for backbone in map(copy.deepcopy, (first, second))]
    assert rates == [0.2, 0.3]  # as Swin's authors have it for detection and for segmentation
    assert {**first, "net_kwargs": None} == {**second, "net_kwargs": None}
    assert read(SWIN).optim_wrapper == read(SWIN_TOO).optim_wrapper


@pytest.mark.parametrize("name", FREEZING)
def test_what_is_frozen_stays_bit_equal(name: str) -> None:
    cfg = without_download(name)
    parts = {part: MODELS.build(cfg.model[part]) for part in ("backbone", "neck") if cfg.model.get(part)}
    model = nn.ModuleDict(parts).train()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    trains = {key for key, value in model.named_parameters() if value.requires_grad}
    frozen = [key for key, _ in model.named_parameters() if key not in trains]
    assert sorted(stem(key) for key in frozen) == expected(name, model)
    # statistics of the layers that hold a frozen weight, or of all where the recipe says so
    still = [
        f"{path}.{key}"
        for path, module in model.named_modules()
        for key, _ in module.named_buffers(recurse=False)
        if f"{path}.weight" in frozen or cfg.model.backbone.get("norm_eval")
    ]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = torch.rand(1, 3, 64, 64)
    for _ in range(4):
        maps = model["backbone"](images)
        maps = model["neck"](maps) if "neck" in parts else maps
        optimizer.update_params(sum(fmap.square().mean() for fmap in maps))
        images = images.flip(3) + 0.01 * torch.randn_like(images)  # other statistics at every step
    after = model.state_dict()
    for key in [*frozen, *still]:
        assert torch.equal(before[key], after[key]), key
    for key in trains:
        assert not torch.equal(before[key], after[key]), key


def stem(key: str) -> str:
    """``backbone.layers.0.norm1.bias`` is of ``layers.0``, ``backbone.conv1.weight`` of ``conv1``."""
    words = key.removeprefix("backbone.").split(".")
    return ".".join(words[:2]) if words[0] == "layers" else words[0]


def expected(name: str, model: nn.ModuleDict) -> list[str]:
    """Which parts are frozen, by the upstream's own names; one entry per parameter."""
    backbone = model["backbone"]
    names = [key for key, _ in backbone.named_parameters()]
    if "swin" in name:
        chosen = [key for key in names if key.startswith(("patch_embed", "layers.0", "layers.1"))]
    elif "gradual" in name:
        chosen = names
    elif "dinov2" in name:  # all but the pyramid, which nobody's weights hold
        chosen = [key for key in names if not key.startswith(PYRAMID_NAME)]
    else:
        layers = [path for path, module in backbone.named_modules() if isinstance(module, nn.Conv2d)]
        assert len(layers) in (13, 120)  # VGG16, DenseNet-121: their convolutions stand in order of execution
        first_trained = layers[len(layers) // 3]
        chosen = names[: names.index(f"{first_trained}.weight")]
    return sorted(stem(key) for key in chosen)


# -- several processes ----------------------------------------------------------------------------


def two_steps(rank: int, port: int, names: list[str], data: str, folder: str) -> None:
    """One of two processes: DDP raises at the second step if a parameter got no gradient at the first."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    for number, name in enumerate(names):
        cfg = small(name, Path(data), Path(folder) / f"{number}-{rank}")
        start_processes(cfg, "pytorch", "cpu")
        runner = build_runner(cfg)
        loop = runner.build_train_loop(runner.cfg.train_cfg)
        optimizer = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.model.train()
        batch = next(iter(loop.dataloader))
        for _ in range(2):
            losses = runner.model.train_step(batch, optimizer)
        assert all(torch.isfinite(value).all() for value in losses.values())
        trained = [value for value in runner.model.parameters() if value.requires_grad]
        sums = [None, None]
        torch.distributed.all_gather_object(sums, [value.double().sum().item() for value in trained])
        assert sums[0] == sums[1]  # both processes hold the same weights
        assert trained
        some_frozen = len(trained) < len(list(runner.model.parameters()))
        assert some_frozen == ("tens-of-thousands" not in name)
    stop_processes()


def test_two_processes_train_a_recipe(shapes: Path, tmp_path: Path) -> None:
    names = SHIPPED if SWEEP else [SWIN]
    in_processes(two_steps, free_port(), names, str(shapes), str(tmp_path))


# -- resume ---------------------------------------------------------------------------------------


def test_gradual_unfreezing_resumes(shapes: Path, tmp_path: Path) -> None:
    """The recipe with a small backbone and small heads: resumed in the middle, it ends the same."""

    def config(folder: Path) -> Config:
        cfg = without_download(GRADUAL)
        cfg.model.backbone.type = "mmbackbones.resnet18"
        cfg.model.neck.in_channels = [64, 128, 256, 512]
        slim(cfg.model)
        options = [f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")]
        options += ["train_cfg.val_interval=100", "default_hooks.checkpoint.save_best=None"]
        options += ["default_hooks.checkpoint.max_keep_ckpts=-1"]
        settings = Settings(shapes, epochs=4, batch_size=2, img_scale="64x64", seed=0, options=options)
        fit(cfg, settings, cache_dir=folder / "cache")
        for pipeline in pipelines(cfg, "train"):  # flips are drawn before the first step sets a seed
            pipeline[:] = [step for step in pipeline if step["type"] != "RandomFlip"]
        cfg.custom_hooks.append(dict(type="RecordHook"))
        return cfg

    assert config(tmp_path).custom_hooks[0].schedule == {1: 2, 2: 1, 3: -1}  # follows --epochs
    RecordHook.seen.clear()
    train(config(tmp_path), folder(tmp_path / "whole"), console=Console(quiet=True))
    whole = list(RecordHook.seen)
    RecordHook.seen.clear()
    middle = tmp_path / "whole" / "epoch_2.pth"
    train(config(tmp_path), folder(tmp_path / "rest"), resume=middle, console=Console(quiet=True))
    assert len(whole) == 8  # 4 epochs of 2 steps
    assert RecordHook.seen == whole[4:]
    assert len({count for _, count in whole}) == 4  # frozen_stages of 4, 2, 1, -1


@HOOKS.register_module()
class RecordHook(Hook):
    """Loss and number of trainable parameters at each step; the same draws of proposals at the same step."""

    seen: list[tuple[float, int]] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        torch.manual_seed(runner.iter)  # no checkpoint holds the state of the generator

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        trainable = sum(value.numel() for value in runner.model.parameters() if value.requires_grad)
        self.seen.append((outputs["loss"].item(), trainable))


def folder(path: Path) -> Path:
    path.mkdir()
    return path
