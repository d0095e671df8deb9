"""Trainings that fail without an error of their own: a loss that is no number, figures that do not exist."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper

from ..errors import InputError
from ..registry import HOOKS
from .report import main_figures

#: What an evaluation without figures means: mmdet's of boxes gives none then, and logs an error.
NOTHING_FOUND = "nothing was found in any validation image"
_SCALED_STEPS = 20  # mixed precision leaves out steps until its loss scale is low enough


class LossError(InputError):
    """A loss that is not finite."""


@HOOKS.register_module()
class LossCheckHook(Hook):
    """Stops at a loss that is not finite: the step has put the same into the weights, for good.

    In mixed precision with loss scaling single ones are passed over, as their steps are not taken.
    The figures are those that mmengine has read for its log, so none is fetched from a GPU again.

    Raises:
        InputError: the loss, its parts, the iteration and the learning rate.
    """

    def __init__(self) -> None:
        self._in_a_row = 0

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        read = runner.message_hub.log_scalars
        losses = {name: read[f"train/{name}"].current() for name in outputs or {} if f"train/{name}" in read}
        if math.isfinite(losses.get("loss", 0.0)):
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if self._in_a_row <= (_SCALED_STEPS if isinstance(runner.optim_wrapper, AmpOptimWrapper) else 0):
            return
        parts = [name for name, value in losses.items() if not math.isfinite(value) and name != "loss"]
        of = f" (of {', '.join(parts)})" if parts else ""
        rate = max(group["lr"] for group in runner.optim_wrapper.param_groups)
        kept = Path(runner.work_dir) / "last_checkpoint"
        step = f"The last checkpoint is {Path(kept.read_text()).name}. " if kept.is_file() else ""
        raise LossError(
            f"The training failed: the loss is {losses['loss']}{of} at iteration {runner.iter + 1}, with a "
            f"learning rate of {rate:g}. {step}Lower the rate (--lr), and check the labels."
        )


def failure_of(cfg: Config, figures: Mapping[str, float] | None) -> str:
    """Why the last evaluation shows that nothing was learned; empty if it does not.

    Args:
        cfg: the config.
        figures: of the last evaluation; None if there were none in it.
    """
    if not cfg.get("val_dataloader"):
        return ""
    known = [value for value in main_figures(figures or {}).values() if math.isfinite(value)]
    if known:
        return ""
    if figures:
        return (
            f"the figures of the last evaluation are no numbers ({', '.join(main_figures(figures))}): no "
            f"label of the validation images counts. Check them, and which of their values mean 'ignore'."
        )
    return (
        f"{NOTHING_FOUND}, so there are no figures. Train for longer (--epochs), with another rate (--lr) or "
        f"from pretrained weights, and check the boxes."
    )
