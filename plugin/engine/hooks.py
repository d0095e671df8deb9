"""What a training shows at the command line: progress, with the time left."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from mmengine import dist
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ..registry import HOOKS
from .failures import NOTHING_FOUND

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
        #: Iterations done at the last evaluation; None before it.
        self.evaluated_at: int | None = None

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
        self.evaluated_at = runner.iter
        if runner.rank == 0:
            when = _when(runner, runner.epoch, runner.iter)
            self.console.print(f"{when}: {_figures(metrics or {}) or NOTHING_FOUND}", soft_wrap=True)

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


def counts_epochs(runner: Any) -> bool:
    """Whether a training counts epochs, not iterations."""
    from mmengine.runner import EpochBasedTrainLoop

    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def _when(runner: Any, epoch: int, iteration: int | None = None) -> str:
    """'epoch 3/12', or in iteration-based trainings 'iteration 300', nothing where none is given."""
    if counts_epochs(runner):
        return f"epoch {epoch}/{runner.max_epochs}"
    return f"iteration {iteration}" if iteration is not None else ""


def _figures(metrics: dict[str, float]) -> str:
    """The main figures of an evaluation on one line."""
    from .report import main_figures

    return "  ".join(f"{name} {value:.3f}" for name, value in main_figures(metrics).items())
