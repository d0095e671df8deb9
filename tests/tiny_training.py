"""A small model, its data and its config, for trainings by mmengine's Runner in seconds.

:func:`one_of_two` trains it in several processes; each leaves its parameters in ``FOLDER/rank<n>.pth``.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmbackbones.finetune.parts import unwrapped
from mmbackbones.weights.files import read_for_mmengine

NET = "mobilenetv1_025"
_RUNS = itertools.count()


@MODELS.register_module()
class TinyClassifier(BaseModel):
    """A linear classifier on the means of all maps of a backbone."""

    def __init__(self, backbone: dict[str, Any]) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.head = nn.Linear(sum(self.backbone.out_channels), 2)

    def forward(self, inputs: Tensor, labels: Tensor, mode: str = "loss") -> Any:
        means = torch.cat([fmap.mean((2, 3)) for fmap in self.backbone(inputs)], dim=1)
        if mode == "predict":
            return [{"scores": scores} for scores in self.head(means)]
        return {"loss": F.cross_entropy(self.head(means), labels)}


@MODELS.register_module()
class NoBackbone(BaseModel):
    """A model without any backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, inputs: Tensor, labels: Tensor, mode: str = "loss") -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(self.head(inputs.mean((2, 3))[:, :2]), labels)}


@DATASETS.register_module()
class TinyData(torch.utils.data.Dataset):
    """Images of noise with a label."""

    def __init__(self, length: int = 12) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(index))
        return {"inputs": noise, "labels": index % 2}


@HOOKS.register_module()
class Recorder(Hook):
    """Notes each step's loss, the trainable parameters, and the learning rates."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.trainable: list[set[str]] = []
        self.rates: list[set[float]] = []

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        named = unwrapped(runner.model).named_parameters()
        self.losses.append(float(outputs["loss"].detach()))
        self.trainable.append({name for name, param in named if param.requires_grad})
        self.rates.append({group["lr"] for group in runner.optim_wrapper.param_groups})


def config(work_dir: Path, **changes: Any) -> Config:
    """Four epochs of three steps; stages thaw after each."""
    base: dict[str, Any] = dict(
        model=dict(
            type="TinyClassifier", backbone=dict(type=f"mmbackbones.{NET}", frozen_stages=4, norm_eval=False)
        ),
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate"),
            dataset=dict(type="TinyData"),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=4),
        optim_wrapper=dict(
            constructor="mmbackbones.LayerDecayOptimWrapperConstructor",
            optimizer=dict(type="AdamW", lr=0.01, weight_decay=0.05),
            paramwise_cfg=dict(decay_rate=0.8),
        ),
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=2),
            dict(type="CosineAnnealingLR", by_epoch=True, T_max=4, convert_to_iter_based=True),
        ],
        custom_hooks=[
            dict(type="mmbackbones.UnfreezeHook", schedule={1: 3, 2: 1, 3: -1}),
            dict(type="Recorder"),
        ],
        default_hooks=dict(logger=dict(type="LoggerHook", interval=1)),
        randomness=dict(seed=0),
        log_level="WARNING",
        work_dir=str(work_dir),
        # Runs of one name and second share a visualizer and its folder; a passed test's may be gone by then.
        experiment_name=f"{work_dir.name}_{next(_RUNS)}",
    )
    cfg = Config(base, format_python_code=False)  # for each checkpoint, and nobody reads it
    cfg.merge_from_dict(changes)
    return cfg


def train(cfg: Config) -> tuple[Runner, Recorder]:
    """Train; returns the runner and what was noted."""
    read_for_mmengine()
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner, next(hook for hook in runner.hooks if isinstance(hook, Recorder))


def one_of_two(rank: int, port: int, folder: Path) -> None:
    """One of two processes; no parameter of the model may go unused, or the backward pass raises."""
    from mmbackbones.engine.devices import choose_device, start_processes, stop_processes

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    cfg = config(folder)
    choose_device("cpu")
    start_processes(cfg, "pytorch", "cpu")
    runner, seen = train(cfg)
    state = dict(unwrapped(runner.model).named_parameters())
    found = {
        "params": state,
        "losses": seen.losses,
        "trainable": [sorted(names) for names in seen.trainable],
    }
    torch.save(found, folder / f"rank{runner.rank}.pth")
    stop_processes()
