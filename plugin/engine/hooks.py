"""Hooks of a training at the command line: progress with time left, and a clean stop when asked to."""

from __future__ import annotations

import signal
import threading
import time
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine import dist
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ..compose.processes import Agreement
from ..registry import HOOKS

_WINDOW = 20  # iterations that the shown loss is averaged over


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows iterations, loss, learning rate and time left: a live bar in a terminal, else plain lines.

    Args:
        console: where to; None makes one for stdout.
        seconds: time between plain lines.
    """

    priority = "VERY_LOW"

    def __init__(self, console: Console | None = None, seconds: float = 15.0) -> None:
        self.console = console or Console()
        self.seconds = seconds
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._began = self._last_line = time.monotonic()
        self._first_iter = 0

    def before_train(self, runner: Any) -> None:
        self._began = self._last_line = time.monotonic()
        self._first_iter = runner.iter
        for note in getattr(runner, "notes", ()):
            self.console.print(f"  {note}", highlight=False)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        done = runner.iter + 1
        self._show("train", done, runner.max_iters, self._describe(runner, done))

    def after_train(self, runner: Any) -> None:
        self.close()

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._show("evaluate", batch_idx + 1, len(runner.val_dataloader))

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._show("evaluate", batch_idx + 1, len(runner.test_dataloader))

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self._hide("evaluate")
        if runner.rank == 0 and metrics:
            when = _when(runner, runner.epoch, runner.iter)
            self.console.print(f"{when}: {_figures(metrics)}", soft_wrap=True)

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Take the live bar away; safe to call twice."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._tasks = None, {}

    def _describe(self, runner: Any, done: int) -> str:
        hub = runner.message_hub
        in_this_run = done - self._first_iter
        left = (time.monotonic() - self._began) / in_this_run * (runner.max_iters - done)
        loss = hub.get_scalar("train/loss").mean(_WINDOW)
        lr = hub.get_scalar("train/lr").current()
        clock = timedelta(seconds=round(left))
        return f"{_when(runner, runner.epoch + 1)}  loss {loss:.3f}  lr {lr:.2g}  {clock} left"

    def _show(self, name: str, done: int, total: int, text: str = "") -> None:
        if not dist.is_main_process():
            return
        if self.console.is_terminal:
            bar = self._live_bar()
            if name not in self._tasks:
                self._tasks[name] = bar.add_task(name, total=total, text="")
            bar.update(self._tasks[name], completed=done, text=text)
        elif time.monotonic() - self._last_line >= self.seconds or (name == "train" and done == total):
            self._last_line = time.monotonic()
            self.console.print(f"{name} {done}/{total}  {text}".rstrip(), soft_wrap=True)

    def _hide(self, name: str) -> None:
        if self._bar is not None and name in self._tasks:
            self._bar.remove_task(self._tasks.pop(name))

    def _live_bar(self) -> Progress:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
                console=self.console,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.start()
        return self._bar


class Stopped(KeyboardInterrupt):
    """A training was asked to stop, and did; ``signum`` is the signal that asked."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@HOOKS.register_module()
class StopHook(Hook):
    """Turns Ctrl-C and SIGTERM into a stop after the running iteration, with a checkpoint to resume from.

    The file ``interrupted.pth`` holds the weights of now. mmengine resumes epoch-based trainings at the
    start of an epoch, so there the learning rate and the schedule are those of the begun epoch's start,
    and that epoch is repeated. Ctrl-C after either stops at once, with the last regular checkpoint. A
    second SIGTERM does not: torchrun passes on what a cluster has sent to each process already.
    """

    priority = "LOWEST"  # after the schedulers have stepped and the regular checkpoint is written
    filename = "interrupted.pth"
    signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signum = 0  # that asked to stop
        self._agree: Agreement | None = None
        self._old_handlers: dict[int, Any] = {}
        self._epoch_start: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])

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

    def before_train_epoch(self, runner: Any) -> None:
        groups = runner.optim_wrapper.param_groups
        rates = [{key: value for key, value in group.items() if key != "params"} for group in groups]
        self._epoch_start = (rates, [dict(each.state_dict()) for each in runner.param_schedulers or []])

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        if not self._asked_anywhere(runner):
            return
        if _counts_epochs(runner):
            steps = len(runner.train_dataloader)
            if batch_idx + 1 == steps:
                return  # the epoch is complete: after_train_epoch stops
            self._return_to_epoch_start(runner)
            self._stop(runner, runner.epoch, runner.epoch * steps)
        self._stop(runner, runner.epoch, runner.iter + 1)

    def after_train_epoch(self, runner: Any) -> None:
        if _counts_epochs(runner) and self._asked_anywhere(runner):
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

    def _return_to_epoch_start(self, runner: Any) -> None:
        rates, schedules = self._epoch_start
        for group, rate in zip(runner.optim_wrapper.param_groups, rates, strict=True):
            group.update(rate)
        for scheduler, state in zip(runner.param_schedulers or [], schedules, strict=True):
            scheduler.load_state_dict(state)

    def _stop(self, runner: Any, epoch: int, iteration: int) -> None:
        _save_to_go_on(runner, epoch, iteration)
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
        done = runner.epoch if _counts_epochs(runner) else runner.iter
        if done >= self.until:
            _save_to_go_on(runner, runner.epoch, runner.iter)
            raise PausedError(done)


def _save_to_go_on(runner: Any, epoch: int, iteration: int) -> None:
    """Write ``interrupted.pth``, from which ``--resume`` goes on."""
    meta = {"epoch": epoch, "iter": iteration}
    runner.save_checkpoint(runner.work_dir, StopHook.filename, meta=meta)
    if runner.rank == 0:
        path = Path(runner.work_dir) / StopHook.filename
        (Path(runner.work_dir) / "last_checkpoint").write_text(str(path))


def _counts_epochs(runner: Any) -> bool:
    from mmengine.runner import EpochBasedTrainLoop

    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def _when(runner: Any, epoch: int, iteration: int | None = None) -> str:
    """'epoch 3/12', or in iteration-based trainings 'iteration 300', nothing where none is given."""
    if _counts_epochs(runner):
        return f"epoch {epoch}/{runner.max_epochs}"
    return f"iteration {iteration}" if iteration is not None else ""


def _figures(metrics: dict[str, float]) -> str:
    """The main figures of an evaluation on one line."""
    from .report import main_figures

    return "  ".join(f"{name} {value:.3f}" for name, value in main_figures(metrics).items())
