"""Checkpoints to go on from at any moment, a clean stop when asked to, and an early one."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.hooks import EarlyStoppingHook, Hook

from ..compose.processes import Agreement
from ..registry import HOOKS
from .hooks import counts_epochs

#: The checkpoint of a moment between the regular ones.
INTERRUPTED = "interrupted.pth"


class GoOnHook(Hook):
    """Can write a checkpoint to go on from after any iteration: ``interrupted.pth``.

    It holds the weights of now. mmengine resumes epoch-based trainings at the start of an epoch, so there the
    learning rate and the schedule are those of the begun epoch's start, and that epoch is repeated.
    """

    priority = "LOWEST"  # after the schedulers have stepped and the regular checkpoint is written

    def __init__(self) -> None:
        self._epoch_start: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])

    def before_train_epoch(self, runner: Any) -> None:
        self._epoch_start = _schedule(runner)

    def save_in_epoch(self, runner: Any) -> None:
        """Write the checkpoint after an iteration that does not end its epoch; the training may go on."""
        if not counts_epochs(runner):
            save_to_go_on(runner, runner.epoch, runner.iter + 1)
            return
        now = _schedule(runner)
        _set_schedule(runner, self._epoch_start)
        save_to_go_on(runner, runner.epoch, runner.epoch * len(runner.train_dataloader))
        _set_schedule(runner, now)


def save_to_go_on(runner: Any, epoch: int, iteration: int, name: str = INTERRUPTED) -> None:
    """Write the checkpoint from which ``--resume`` goes on, as of a position.

    It takes the place of the one before when it is whole: a kill may come while it is written.
    """
    meta, part = {"epoch": epoch, "iter": iteration}, f"{name}.part"
    runner.save_checkpoint(runner.work_dir, part, meta=meta)
    if runner.rank == 0:
        path = Path(runner.work_dir) / name
        os.replace(path.with_name(part), path)
        (Path(runner.work_dir) / "last_checkpoint").write_text(str(path))


def _schedule(runner: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    groups = runner.optim_wrapper.param_groups
    rates = [{key: value for key, value in group.items() if key != "params"} for group in groups]
    return rates, [dict(each.state_dict()) for each in runner.param_schedulers or []]


def _set_schedule(runner: Any, given: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    rates, schedules = given
    for group, rate in zip(runner.optim_wrapper.param_groups, rates, strict=True):
        group.update(rate)
    for scheduler, state in zip(runner.param_schedulers or [], schedules, strict=True):
        scheduler.load_state_dict(state)


@HOOKS.register_module()
class SaveEveryHook(GoOnHook):
    """Writes a checkpoint to go on from every so many minutes, beside the regular ones.

    Args:
        minutes: between two of them, by the clock of the first process, which writes.
    """

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.seconds = 60 * minutes
        self._last = 0.0

    def before_train(self, runner: Any) -> None:
        self._last = time.monotonic()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        ends_epoch = counts_epochs(runner) and batch_idx + 1 == len(runner.train_dataloader)
        if time.monotonic() - self._last >= self.seconds and not ends_epoch:
            self.save_in_epoch(runner)
            self._last = time.monotonic()


@HOOKS.register_module()
class EarlyStopHook(EarlyStoppingHook):
    """mmengine's ``EarlyStoppingHook``, whose last state is saved: ``last.pth`` is what was evaluated last.

    Args:
        kwargs: of mmengine's.
    """

    def before_run(self, runner: Any) -> None:
        """Nothing: mmengine's wants a training, but a config is tested with the same hooks."""

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        super().after_val_epoch(runner, metrics)
        if not runner.train_loop.stop_training:
            return
        unit, number = ("epoch", runner.epoch) if counts_epochs(runner) else ("iter", runner.iter)
        path = Path(runner.work_dir) / f"{unit}_{number}.pth"
        runner.stopped_early = f"{self.monitor} has not risen in {self.patience} evaluations"
        if runner.rank == 0 and not path.is_file():
            save_to_go_on(runner, runner.epoch, runner.iter, path.name)
            runner.message_hub.update_info("last_ckpt", str(path))


class Stopped(KeyboardInterrupt):
    """A training was asked to stop, and did; ``signum`` is the signal that asked."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@HOOKS.register_module()
class StopHook(GoOnHook):
    """Turns Ctrl-C and SIGTERM into a stop after the running iteration, with a checkpoint to resume from.

    Ctrl-C after either stops at once, with the last regular checkpoint. A
    second SIGTERM does not: torchrun passes on what a cluster has sent to each process already.
    """

    signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        super().__init__()
        self.signum = 0  # that asked to stop
        self._agree: Agreement | None = None
        self._old_handlers: dict[int, Any] = {}

    def before_train(self, runner: Any) -> None:
        self.install()

    @property
    def asked(self) -> bool:
        """Whether this process was asked to stop."""
        return bool(self.signum)

    def install(self) -> None:
        """Take the signals over; safe to call twice.

        A terminal sends Ctrl-C to loader workers too. Those that start after this have the same handler,
        so they live until the running iteration has ended; see :mod:`.workers` for SIGTERM.
        """
        if not self._old_handlers and threading.current_thread() is threading.main_thread():
            self._old_handlers = {number: signal.signal(number, self._ask) for number in self.signals}

    def after_train(self, runner: Any) -> None:
        self.release()

    def release(self) -> None:
        """Give the signals back to who had them before; safe to call twice."""
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._old_handlers = {}

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        if not self._asked_anywhere(runner):
            return
        if counts_epochs(runner) and batch_idx + 1 == len(runner.train_dataloader):
            return  # the epoch is complete: after_train_epoch stops
        self.save_in_epoch(runner)
        raise Stopped(self.signum)

    def after_train_epoch(self, runner: Any) -> None:
        if counts_epochs(runner) and self._asked_anywhere(runner):
            self._stop(runner, runner.epoch + 1, runner.iter)

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if self._old_handlers and self._asked_anywhere(runner):
            self._stop(runner, runner.epoch, runner.iter)

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        if self.asked and signum == signal.SIGINT:
            raise Stopped(signum)
        self.signum = self.signum or signum

    def _asked_anywhere(self, runner: Any) -> bool:
        """Whether any process was asked to stop; all must leave after the same iteration.

        Of several processes all learn of it one iteration later: nobody waits for an answer.
        """
        if self._agree is None:
            self._agree = Agreement(runner.world_size)
        signum = self._agree(self.signum)
        self.signum = self.signum or signum
        return bool(signum)

    def _stop(self, runner: Any, epoch: int, iteration: int) -> None:
        save_to_go_on(runner, epoch, iteration)
        raise Stopped(self.signum)


class PausedError(Exception):
    """A training has come to where it was to pause; ``args`` has the epoch or iteration."""


@HOOKS.register_module()
class PauseHook(Hook):
    """Ends a training after an evaluation on its way, with a checkpoint from which it goes on as if never
    interrupted: the schedule of its learning rate is that of the whole training.

    Args:
        until: epoch, or iteration where the loop counts those, after whose evaluation it pauses.
    """

    priority = "LOWEST"  # after the figures are logged, and averaged weights put back

    def __init__(self, until: int) -> None:
        self.until = until

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        done = runner.epoch if counts_epochs(runner) else runner.iter
        if done >= self.until:
            save_to_go_on(runner, runner.epoch, runner.iter)
            raise PausedError(done)
