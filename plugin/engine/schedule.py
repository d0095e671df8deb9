"""Length of a training, batch size and learning rate, in epoch-based and iteration-based configs."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import InputError
from .configs import kind

_WARMUP_SHARE = 0.1  # of the whole training, at most
_EVALUATIONS = 20  # at most, where the length is set by --epochs


def is_epoch_based(cfg: Config) -> bool:
    """Whether the training loop counts epochs (mmdet's configs) or iterations (mmseg's)."""
    loop = cfg.train_cfg
    return loop.get("by_epoch", kind(loop) != "IterBasedTrainLoop")


def check_batch_size(batch_size: int) -> None:
    """Raises:
    InputError: ``batch_size`` < 1.
    """
    if batch_size < 1:
        raise InputError(f"--batch-size {batch_size}: at least 1 image is needed in a batch.")


def base_batch_size(cfg: Config) -> int:
    """The total batch size that the config's learning rate is meant for.

    From ``auto_scale_lr``, else from a name like ``4xb2`` (4 processes with 2 images), else the
    config's own batch size on one process.
    """
    stated = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
    if stated:
        return int(stated)
    match = re.search(r"(?:^|_)(\d+)xb(\d+)(?:[-_.]|$)", Path(cfg.filename or "").name)
    if match:
        return int(match[1]) * int(match[2])
    return int(cfg.train_dataloader.batch_size)


def set_lr(cfg: Config, lr: float | None, base_batch: int, world_size: int, *, fixed: bool = False) -> str:
    """Set the learning rate, or let it follow the total batch size linearly (arXiv 1706.02677).

    Args:
        cfg: changed in place; its ``auto_scale_lr`` afterwards states the batch that the rate is for,
            so that the resolved config is not scaled twice.
        lr: the rate to use as it is; None to follow the batch size.
        base_batch: total batch size that the config's rate is meant for.
        world_size: number of processes.
        fixed: the rate in ``cfg`` was given by the user and stays.

    Returns:
        One sentence that says what was done.

    Raises:
        InputError: ``lr`` <= 0, or given where the config has none.
    """
    if lr is not None and not lr > 0:
        raise InputError(f"--lr {lr}: a learning rate must be above 0.")
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
        optimizer["lr"] = before * batch / base_batch
    cfg.auto_scale_lr = {"enable": False, "base_batch_size": batch}
    if lr is not None or fixed:
        return f"learning rate {optimizer['lr']:g} as given, batch {batch}"
    if batch == base_batch:
        return f"learning rate {before:g} of the config, batch {batch}"
    return f"learning rate {optimizer['lr']:g} = {before:g} x {batch}/{base_batch}, following the batch size"


def steps_per_epoch(cfg: Config, images: int, world_size: int) -> int:
    """Iterations in one pass over ``images`` images."""
    return max(1, math.ceil(images / (cfg.train_dataloader.batch_size * world_size)))


def set_epochs(cfg: Config, epochs: int, steps: int) -> None:
    """Train for ``epochs``: the loop, every scheduler's marks and the evaluation interval follow.

    In iteration-based configs an epoch is ``steps`` iterations.

    Raises:
        InputError: ``epochs`` < 1.
    """
    if epochs < 1:
        raise InputError(f"--epochs {epochs}: at least 1 epoch is needed.")
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
    for scheduler in _schedulers(cfg):
        in_unit = scheduler.get("by_epoch", True) == is_epoch_based(cfg)
        if in_unit:
            _stretch(scheduler, loop[key] / old_length)
    for hook in cfg.get("custom_hooks") or []:  # such as mosaics that end before the training does
        _stretch(hook, loop[key] / old_length)


def limit_warmup(cfg: Config, steps: int) -> list[str]:
    """Shorten a warm-up in iterations that would take more than a tenth of the whole training."""
    loop = cfg.train_cfg
    total = loop.max_epochs * steps if is_epoch_based(cfg) else loop.max_iters
    limit = max(1, int(total * _WARMUP_SHARE))
    notes = []
    for scheduler in _schedulers(cfg):
        end = scheduler.get("end")
        is_warmup = kind(scheduler) in ("LinearLR", "ConstantLR") and scheduler.get("begin", 0) == 0
        if is_warmup and not scheduler.get("by_epoch", True) and end and end > limit:
            scheduler["end"] = limit
            notes.append(f"warm-up {limit} instead of {end} iterations: the training has {total}")
            for other in _schedulers(cfg):
                if other.get("begin") == end and not other.get("by_epoch", True):
                    other["begin"] = limit
    return notes


def drop_ended(cfg: Config) -> None:
    """Take out schedulers that end no later than they begin: short trainings leave them no step."""
    every = _schedulers(cfg)
    kept = [one for one in every if one.get("begin", 0) < one.get("end", math.inf)]
    if len(kept) < len(every):
        cfg.param_scheduler = kept


def set_log_interval(cfg: Config, steps: int) -> None:
    """Log often enough for a curve: at least twice in an epoch."""
    logger = cfg.setdefault("default_hooks", {}).setdefault("logger", {"type": "LoggerHook"})
    logger.interval = max(1, min(logger.get("interval", 10), steps // 2))


def _schedulers(cfg: Config) -> list[dict[str, Any]]:
    found = cfg.get("param_scheduler") or []
    return list(found) if isinstance(found, (list, tuple)) else [found]


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
        steps = sorted(scheduler["schedule"].items())
        scheduler["schedule"] = {max(1, round(mark * ratio)): stages for mark, stages in steps}
