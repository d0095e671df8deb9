"""Length of a training, batch size and learning rate, in epoch-based and iteration-based configs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import InputError
from .configs import is_epoch_based, kind
from .phases import stretch_marks
from .settings import Settings
from .warmup import is_warmup, schedulers, stretch_warmup

_EVALUATIONS = 20  # at most, where the length is set by --epochs


def check_numbers(settings: Settings) -> None:
    """Check what needs no data, before any is read.

    Raises:
        InputError: batch size or epochs < 1, a learning rate <= 0, or a seed that numpy does not take.
    """
    if settings.batch_size is not None and settings.batch_size < 1:
        raise InputError(f"--batch-size {settings.batch_size}: at least 1 image is needed in a batch.")
    if settings.lr is not None and not settings.lr > 0:
        raise InputError(f"--lr {settings.lr}: a learning rate must be above 0.")
    if settings.epochs is not None and settings.epochs < 1:
        raise InputError(f"--epochs {settings.epochs}: at least 1 epoch is needed.")
    if settings.seed is not None and not 0 <= settings.seed < 2**32:
        raise InputError(f"--seed {settings.seed}: a seed is a whole number from 0 to {2**32 - 1}.")


@dataclass(frozen=True)
class BaseBatch:
    """The total batch size that a config's learning rate is meant for, and what says so."""

    size: int
    source: str


def base_batch(cfg: Config) -> BaseBatch:
    """The total batch size that the config's learning rate is meant for.

    From ``auto_scale_lr`` where it is on; else from a name like ``4xb2``: 4 processes with the config's own
    batch each. The ``base_batch_size`` of an ``auto_scale_lr`` that is off comes last, as mmdet's configs
    inherit 16 whatever they train with; without any, it is the config's own batch on one process.
    """
    own = int(cfg.train_dataloader.batch_size)
    scale = cfg.get("auto_scale_lr") or {}
    stated = BaseBatch(int(scale.get("base_batch_size") or own), "auto_scale_lr")
    match = re.search(r"(?:^|[_-])(\d+)xb\d+(?:[-_.]|$)", Path(cfg.filename or "").name)
    if match and not scale.get("enable"):
        return BaseBatch(int(match[1]) * own, match[0].strip("-_."))
    return stated if scale.get("base_batch_size") else BaseBatch(own, "its own batch")


def set_lr(cfg: Config, lr: float | None, base: BaseBatch, world_size: int, *, fixed: bool = False) -> str:
    """Set the learning rate, or let it follow the total batch size linearly (arXiv 1706.02677).

    Args:
        cfg: changed in place; its ``auto_scale_lr`` afterwards states the batch that the rate is for,
            so that the resolved config is not scaled twice.
        lr: the rate to use as it is; None to follow the batch size.
        base: the batch that the config's rate is meant for, see :func:`base_batch`.
        world_size: number of processes.
        fixed: the rate in ``cfg`` was given by the user and stays.

    Returns:
        One sentence that says what was done.

    Raises:
        InputError: ``lr`` is given where the config has none.
    """
    optimizer = cfg.optim_wrapper.get("optimizer") or {}
    if "lr" not in optimizer:
        if lr is not None:
            raise InputError(f"--lr {lr}: the config's optim_wrapper has no optimizer.lr to set.")
        return "learning rate left to the config: it has no optim_wrapper.optimizer.lr"
    batch = cfg.train_dataloader.batch_size * world_size
    before = optimizer["lr"]
    if lr is not None:
        optimizer["lr"] = lr
    elif not fixed:
        optimizer["lr"] = before * batch / base.size
    cfg.auto_scale_lr = {"enable": False, "base_batch_size": batch}
    if lr is not None or fixed:
        return f"learning rate {optimizer['lr']:g} as given, batch {batch}"
    if batch == base.size:
        return f"learning rate {before:g} of the config, batch {batch}"
    return (
        f"learning rate {optimizer['lr']:g} = {before:g} x {batch}/{base.size}, following the batch size: "
        f"the config's rate is for {base.size} images a step ({base.source})"
    )


def rate(cfg: Config) -> float:
    """The learning rate of the config's optimizer; 0 where it has none of its own."""
    return float((cfg.optim_wrapper.get("optimizer") or {}).get("lr") or 0)


def scale_floors(cfg: Config, ratio: float) -> None:
    """Multiply the rates that schedules end at by ``ratio``: a lower start must not rise to the old end."""
    for scheduler in schedulers(cfg):
        if kind(scheduler).endswith("LR") and scheduler.get("eta_min"):
            scheduler["eta_min"] *= ratio


def steps_per_epoch(cfg: Config, images: int, world_size: int) -> int:
    """Iterations in one pass over ``images`` images."""
    return max(1, math.ceil(images / (cfg.train_dataloader.batch_size * world_size)))


def set_epochs(cfg: Config, epochs: int, steps: int) -> None:
    """Train for ``epochs``: the loop, every scheduler's marks and the evaluation interval follow.

    In iteration-based configs an epoch is ``steps`` iterations. A warm-up in iterations stays as it is
    (see :func:`.warmup.limit_warmup`).
    """
    loop = cfg.train_cfg
    unit = 1 if is_epoch_based(cfg) else steps
    key = "max_epochs" if is_epoch_based(cfg) else "max_iters"
    old_length, loop[key] = loop[key], epochs * unit
    interval = max(1, math.ceil(epochs / _EVALUATIONS)) * unit
    loop.val_interval = interval if unit > 1 else min(loop.get("val_interval", 1), interval)
    loop.pop("dynamic_intervals", None)
    loop.pop("val_begin", None)
    if unit > 1:
        cfg.setdefault("default_hooks", {}).setdefault("checkpoint", {"type": "CheckpointHook"})
        cfg.default_hooks.checkpoint.interval = interval
    ratio = loop[key] / old_length
    warm = [one for one in schedulers(cfg) if is_warmup(one)]
    ends = {one["end"] for one in warm if not one.get("by_epoch", True)}
    for scheduler in schedulers(cfg):
        in_unit = scheduler.get("by_epoch", True) == is_epoch_based(cfg)
        if not in_unit or (scheduler in warm and stretch_warmup(scheduler, ratio, steps)):
            continue
        begin = scheduler.get("begin")
        _stretch(scheduler, ratio)
        if begin in ends and not scheduler.get("by_epoch", True):
            scheduler["begin"] = begin  # still at the end of the warm-up
    for hook in cfg.get("custom_hooks") or []:  # such as mosaics that end before the training does
        _stretch(hook, ratio)


def set_log_interval(cfg: Config, steps: int) -> None:
    """Log often enough for a curve: at least twice in an epoch."""
    cfg.default_hooks = {"logger": {"type": "LoggerHook"}, **cfg.get("default_hooks", {})}
    logger = cfg.default_hooks.logger
    logger.interval = max(1, min(logger.get("interval", 10), steps // 2))


def _stretch(scheduler: dict[str, Any], ratio: float) -> None:
    """Multiply every mark in time of a scheduler or hook by ``ratio``, keeping marks apart and above 0."""
    for key in ("begin", "end", "T_max", "step_size", "total_steps", "switch_epoch", "num_last_epochs"):
        value = scheduler.get(key)
        if isinstance(value, (int, float)) and 0 < value < 10**9:
            scheduler[key] = max(1, round(value * ratio))
    if scheduler.get("milestones"):
        marks = {max(1, round(mark * ratio)) for mark in scheduler["milestones"]}
        scheduler["milestones"] = sorted(marks)
    if kind(scheduler) == "UnfreezeHook":
        phases = dict(sorted(scheduler["schedule"].items()))
        moved = stretch_marks(list(phases), ratio)
        scheduler["schedule"] = dict(zip(moved, phases.values(), strict=True))
