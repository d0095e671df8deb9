"""Warm-ups of short trainings: the learning rate reaches its full value, whatever the length."""

from __future__ import annotations

import math
import re
from typing import Any

from mmengine.config import Config

from .configs import is_epoch_based, kind

_SHARE = 0.1  # of the whole training, at most
_STEPS = 2  # at least: mmengine's warm-ups have their start factor at the first step, 1 at the last
_RISING = ("Linear", "Constant", "QuadraticWarmup")  # with any of the endings LR, Momentum, ParamScheduler


def schedulers(cfg: Config) -> list[dict[str, Any]]:
    """The config's schedulers of learning rates and momenta; none is an empty list."""
    found = cfg.get("param_scheduler") or []
    return list(found) if isinstance(found, (list, tuple)) else [found]


def is_warmup(scheduler: dict[str, Any]) -> bool:
    """Whether a scheduler begins with the training, below the rate that it leaves."""
    if scheduler.get("begin", 0) != 0 or not scheduler.get("end"):
        return False
    name = re.sub(r"(LR|Momentum|ParamScheduler)$", "", kind(scheduler))
    start = scheduler.get("factor" if name == "Constant" else "start_factor", 1 / 3)
    return name in _RISING and start < scheduler.get("end_factor", 1)


def total_steps(cfg: Config, steps: int) -> int:
    """Iterations of the whole training, with ``steps`` in an epoch."""
    loop = cfg.train_cfg
    return int(loop.max_epochs * steps if is_epoch_based(cfg) else loop.max_iters)


def stretch_warmup(scheduler: dict[str, Any], ratio: float, steps: int) -> bool:
    """Whether the length of a warm-up is settled here, when a training becomes ``ratio`` as long.

    One in iterations keeps them. One in epochs that would be too short to be counted in epochs counts
    iterations from now on, ``steps`` in an epoch; False leaves longer ones to the caller.
    """
    if not scheduler.get("by_epoch", True):
        return True
    least = 1 if scheduler.get("convert_to_iter_based") else _STEPS
    if round(scheduler["end"] * ratio) >= least:
        return False
    scheduler["end"] = max(1, round(scheduler["end"] * ratio * steps))
    scheduler["by_epoch"] = False
    scheduler.pop("convert_to_iter_based", None)
    return True


def limit_warmup(cfg: Config, steps: int) -> list[str]:
    """Shorten a warm-up in iterations that would take more than a tenth of the whole training.

    What begins at its end follows. A warm-up that would have fewer than two steps is emptied, as its full
    rate would never come (see :func:`drop_ended`).

    Returns:
        What was done, one sentence each.
    """
    total = total_steps(cfg, steps)
    notes = []
    for scheduler in filter(is_warmup, schedulers(cfg)):
        if not stretch_warmup(scheduler, 1, steps):  # one epoch at the start factor is no warm-up
            continue
        old = scheduler["end"]
        limit = min(old, int(total * _SHARE))
        new = limit if limit >= _STEPS else 0
        if new == old:
            continue
        said = f"warm-up {new} instead of {old} iterations" if new else "no warm-up"
        notes.append(f"{said}: the training has {total}")
        for other in schedulers(cfg):
            if other.get("begin") == old and not other.get("by_epoch", True):
                other["begin"] = new
        scheduler["end"] = new
    return notes


def drop_ended(cfg: Config, steps: int) -> None:
    """Take out schedulers that end no later than they begin, and warm-ups of one step.

    Short trainings leave the former no step; the latter would leave the start factor for good.
    """

    def acts(scheduler: dict[str, Any]) -> bool:
        length = scheduler.get("end", math.inf) - scheduler.get("begin", 0)
        if scheduler.get("by_epoch", True) and scheduler.get("convert_to_iter_based"):
            length *= steps
        return bool(length >= (_STEPS if is_warmup(scheduler) else 1))

    every = schedulers(cfg)
    kept = [one for one in every if acts(one)]
    if len(kept) < len(every):
        cfg.param_scheduler = kept
