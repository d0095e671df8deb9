"""Gradual unfreezing: stages of the backbone join the training one after another, from the top."""

from __future__ import annotations

import copy
import gc
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.optim import BaseOptimWrapper
from mmengine.runner import IterBasedTrainLoop
from torch import nn

from ..backbone import Backbone
from ..errors import InputError
from ..registry import HOOKS
from ..tracing.stages import STAGES
from .freeze_report import as_text, freeze_report
from .parts import backbones, param_groups, unwrapped

_KEY = "frozen_stages"  # in mmengine's message hub, whose content is in every checkpoint


@HOOKS.register_module()
class UnfreezeHook(Hook):
    """Gradual unfreezing (ULMFiT, arXiv 1801.06146, sec. 3.3), by stages instead of single layers.

    ::

        model = dict(backbone=dict(frozen_stages=4))
        custom_hooks = [dict(type="mmbackbones.UnfreezeHook", schedule={2: 3, 4: 2, 6: -1})]

    After 2 epochs ``frozen_stages`` becomes 3, so stage 4 trains; after 4 epochs stage 3 too; after 6
    epochs everything. What is still frozen costs no backward pass.

    The optimiser has the groups of all that will ever train from the start, so learning rates, weight
    decay and schedules are those of the config; a frozen parameter has no gradient and no momentum until
    it is thawed. ``DistributedDataParallel`` synchronises what was trainable when it was made, so it is
    made again at each step. The state is in every checkpoint: a resumed training goes on with what it had,
    also where its schedule was changed meanwhile, and freezes nothing again.

    Args:
        schedule: completed epochs (or iterations) to the ``frozen_stages`` from then on.
        by_epoch: whether the schedule counts epochs; False counts iterations.

    Raises:
        InputError: an empty schedule, one that freezes instead of thawing, or a stage that does not exist;
            when the training starts, a model without a backbone of this package, or a backbone that
            starts with less frozen than the schedule's first step.
    """

    priority = "ABOVE_NORMAL"

    def __init__(self, schedule: Mapping[int, int], by_epoch: bool = True) -> None:
        self.schedule = check_schedule(schedule)
        self.by_epoch = by_epoch
        self._ready = False

    def before_run(self, runner: Any) -> None:
        """Check the model, and give the optimiser what it will need; before a checkpoint is read."""
        if self._ready or not isinstance(runner.optim_wrapper, BaseOptimWrapper):
            return  # a test or a validation
        self._ready = True
        found = backbones(unwrapped(runner.model))
        _check_start(runner, found, next(iter(self.schedule.values())), self.by_epoch)
        _complete_optimizer(runner, found, min(self.schedule.values()))
        runner.message_hub.pop_info(_KEY)  # of another training in this process

    def before_train(self, runner: Any) -> None:
        self._thaw(runner, runner.message_hub.get_info(_KEY))
        self._thaw_if_due(runner)

    def before_train_epoch(self, runner: Any) -> None:
        self._thaw_if_due(runner)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._thaw_if_due(runner)

    def _thaw_if_due(self, runner: Any) -> None:
        done = runner.epoch if self.by_epoch else runner.iter
        due = [stages for when, stages in self.schedule.items() if when <= done]
        self._thaw(runner, due[-1] if due else None)

    def _thaw(self, runner: Any, frozen_stages: int | None) -> None:
        """Freeze only up to ``frozen_stages`` from now on; nothing if that is so already, or for None."""
        if frozen_stages is None:
            return
        todo = [
            backbone
            for backbone in backbones(unwrapped(runner.model)).values()
            if backbone.frozen_fraction is not None or frozen_stages < backbone.frozen_stages
        ]
        if not todo:
            return
        for backbone in todo:
            backbone.freeze(frozen_stages)
        runner.message_hub.update_info(_KEY, frozen_stages)
        _wrap_again(runner)
        report = as_text(freeze_report(runner.model, runner.optim_wrapper))
        runner.logger.info(f"frozen_stages={frozen_stages} after {runner.iter} iterations:\n{report}")


def check_schedule(schedule: Mapping[int, int]) -> dict[int, int]:
    """The schedule in order of time.

    Raises:
        InputError: it is empty, has a position below 1 or a stage that does not exist, or freezes again.
    """
    how = "Write completed epochs (or iterations) to frozen_stages, as schedule={2: 3, 4: 2, 6: -1}."
    if not isinstance(schedule, Mapping) or not schedule:
        raise InputError(f"UnfreezeHook: schedule={schedule!r} has nothing to thaw. {how}")
    numbers = [number for pair in schedule.items() for number in pair]
    if any(isinstance(number, bool) or not isinstance(number, int) for number in numbers):
        raise InputError(f"UnfreezeHook: schedule={dict(schedule)} is not of whole numbers. {how}")
    found = dict(sorted(schedule.items()))
    if min(found) < 1:
        raise InputError(
            f"UnfreezeHook: schedule={found} begins at {min(found)}. Allowed: 1 or later; what is frozen at "
            f"the start is the backbone's own frozen_stages."
        )
    stages = list(found.values())
    wrong = [stage for stage in stages if stage not in range(-1, STAGES)]
    if wrong:
        raise InputError(
            f"UnfreezeHook: frozen_stages={wrong[0]} in schedule={found} is out of range. Allowed: "
            f"{STAGES - 1} to 1 (the stem and that many stages stay frozen), 0 (the stem), -1 (nothing)."
        )
    if any(later >= earlier for earlier, later in zip(stages, stages[1:], strict=False)):
        raise InputError(
            f"UnfreezeHook: schedule={found} is out of order. Each step must thaw more than the one before: "
            f"frozen_stages has to fall. {how}"
        )
    return found


def _check_start(runner: Any, found: dict[str, Backbone], first: int, by_epoch: bool) -> None:
    """That the model, its wrapper and its loop are such that the schedule can be kept."""
    if not found:
        raise InputError(
            "UnfreezeHook: the model has no backbone of mmbackbones to thaw. Write "
            "backbone=dict(type='mmbackbones.<name>', frozen_stages=4)."
        )
    if is_model_wrapper(runner.model) and not isinstance(runner.model, MMDistributedDataParallel):
        raise InputError(
            f"UnfreezeHook works with one process or with MMDistributedDataParallel, not with "
            f"{type(runner.model).__name__}. Leave model_wrapper_cfg's type out."
        )
    if by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
        raise InputError(
            "UnfreezeHook counts epochs, but this training counts iterations. Set by_epoch=False, and "
            "iterations in the schedule."
        )
    for path, backbone in found.items():
        trains = {name for name, param in backbone.named_parameters() if param.requires_grad}
        if not trains < backbone.trainable_names(first):
            start = f"frozen_stages={backbone.frozen_stages}"
            if backbone.frozen_fraction is not None:
                start = f"frozen_fraction={backbone.frozen_fraction:.3g}"
            raise InputError(
                f"UnfreezeHook: the schedule's first frozen_stages={first} does not thaw {path}, which "
                f"starts with {start}. Start with more frozen (frozen_stages={first + 1} or more), or let "
                f"the schedule begin lower."
            )


def _complete_optimizer(runner: Any, found: dict[str, Backbone], last: int) -> None:
    """Build the optimiser and its schedules again if it lacks parameters that train later.

    Without ``paramwise_cfg`` mmengine gives the optimiser all parameters; with one, and in most other
    constructors, only those that need a gradient at that time.
    """
    later = [
        param
        for backbone in found.values()
        for name, param in backbone.named_parameters()
        if name in backbone.trainable_names(last) and not param.requires_grad
    ]
    if not _lacking(runner, later):
        return
    cfg = runner.cfg.get("optim_wrapper")
    if cfg is not None:
        runner.logger.info("UnfreezeHook: the optimizer is built again, with what is thawed later.")
        for param in later:
            param.requires_grad_(True)
        try:
            runner.optim_wrapper = runner.build_optim_wrapper(cfg)
        finally:
            for param in later:
                param.requires_grad_(False)
        runner.param_schedulers = copy.deepcopy(runner.cfg.get("param_scheduler"))
        runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
        if runner.param_schedulers is not None:
            runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    if _lacking(runner, later):
        raise InputError(
            "UnfreezeHook: the optimizer lacks parameters that are thawed later, so they would never train. "
            "Give optim_wrapper as a config (Runner.from_cfg), or an optimizer with all parameters."
        )


def _lacking(runner: Any, params: list[nn.Parameter]) -> bool:
    held = {id(param) for group in param_groups(runner.optim_wrapper) for param in group["params"]}
    return any(id(param) not in held for param in params)


def _wrap_again(runner: Any) -> None:
    """Make the wrapper for several processes anew: it synchronises what was trainable when it was made."""
    if not is_model_wrapper(runner.model):
        return
    runner.model = unwrapped(runner.model)
    gc.collect()  # the old wrapper's hooks on the gradients go with it
    runner.model = runner.wrap_model(runner.cfg.get("model_wrapper_cfg"), runner.model)
    runner._maybe_compile("train_step")
