"""How far a board is: a table that is drawn anew on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from ..leaderboard.loop import Say
    from ..leaderboard.plan import Board, Run
    from ..leaderboard.records import Record

_REST = 8  # lines of a terminal that are not the table's rows


@contextmanager
def told(
    console: Console,
    board: Board,
    folder: Path,
    configs: Mapping[tuple[str, str], Any],
    at_a_time: int = 1,
) -> Iterator[Say]:
    """What a board tells its runs to; ``configs``, by (backbone, trial), know how long they are."""
    if not console.is_terminal:
        yield Lines(console, board, folder, at_a_time)
        return
    from rich.live import Live

    watch = Watch(console, board, folder, configs, at_a_time)
    with Live(get_renderable=watch.shown, console=console, refresh_per_second=2):
        yield watch


@dataclass(frozen=True)
class Lines:
    """A line for each run that starts or ends."""

    console: Console
    board: Board
    folder: Path
    at_a_time: int = 1

    def __call__(self, run: Run, record: Record | None) -> None:
        name = f"{run.backbone}, {run.trial}, seed {run.seed}"
        if record is None:
            self._print(f"{name} ...")
            return
        from ..leaderboard.outlook import planned, time_left

        records = {one.key: one for one in ended(self.board, self.folder)}
        over = sum(one.state != "paused" for one in records.values())
        left = time_left(self.board, records, self.at_a_time)
        when = f"; about {minutes(left)} left" if left else ""
        if record.state == "paused" and record.metric is None:
            said = f"forecast {forecast(record)}"
        elif record.state != "failed":
            said = f"{record.metric_name} {record.metric:.4g} in {record.seconds:.0f} s"
        else:
            said = f"failed ({record.cause}): {record.message.splitlines()[0] if record.message else ''}"
        self._print(f"{name}: {said}  [{over}/{planned(self.board, records)}{when}]")

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)


def ended(board: Board, folder: Path) -> list[Record]:
    """The records of a board's runs so far."""
    from ..leaderboard.records import read_records

    known = read_records(folder)
    return [known[key] for key in board.keys.values() if key in known]


@dataclass(frozen=True)
class Going:
    """A run that goes on.

    Attributes:
        since: When it was started.
        first: Epochs or iterations that were behind it then.
        end: Where it ends or pauses.
        unit: ``epoch`` or ``iteration``.
    """

    since: float
    first: int
    end: int
    unit: str


@dataclass
class Watch:
    """All runs as a table: what has ended, what runs and how far it is, what waits.

    Attributes:
        console: Where it is shown; its height says how many rows.
        board: What runs.
        folder: Of the board.
        configs: Of each (backbone, trial).
        at_a_time: Runs at a time.
        going: Runs that go on, by key.
    """

    console: Console
    board: Board
    folder: Path
    configs: Mapping[tuple[str, str], Any]
    at_a_time: int = 1
    going: dict[str, Going] = field(default_factory=dict)

    def __call__(self, run: Run, record: Record | None) -> None:
        from ..compose.configs import is_epoch_based

        if record is not None:
            self.going.pop(run.key, None)
            return
        cfg = self.configs[run.backbone, run.trial]
        unit, name = ("epoch", "max_epochs") if is_epoch_based(cfg) else ("iteration", "max_iters")
        _, first, _ = self._progress(run.key, unit)
        self.going[run.key] = Going(time.monotonic(), first, run.until or int(cfg.train_cfg[name]), unit)

    def _progress(self, key: str, unit: str) -> tuple[int, int, Mapping[str, float]]:
        from ..engine.report import progress_of
        from ..leaderboard.records import run_folder

        return progress_of(run_folder(self.folder, key) / "train", unit)

    def shown(self) -> RenderableType:
        """The table as it is now."""
        from rich.console import Group
        from rich.text import Text

        from ..leaderboard.outlook import planned, time_left

        records = {record.key: record for record in ended(self.board, self.folder)}
        count = {state: sum(one.state == state for one in records.values()) for state in ("ok", "failed")}
        head = Text(f"{count['ok']} of {planned(self.board, records)} runs done")
        if count["failed"]:
            head.append(f", {count['failed']} failed", style="red")
        left = time_left(self.board, records, self.at_a_time)
        head.append(f"; about {minutes(left)} left" if left else "")
        head.append("   Ctrl-C stops; the same command goes on.", style="dim")
        return Group(head, self._table(records))

    def _table(self, records: Mapping[str, Record]) -> Table:
        from rich.table import Table

        name = next((one.metric_name for one in records.values()), "") or "metric"
        table = Table("backbone", "trial", "seed", "state", expand=False)
        for title in (name, "time"):
            table.add_column(title, justify="right")
        rows, hidden = self._in_sight(records)
        for cells in rows:
            table.add_row(*cells)
        table.caption = f"{hidden} more" if hidden else None
        return table

    def _in_sight(self, records: Mapping[str, Record]) -> tuple[list[tuple[str, ...]], int]:
        """As many rows as the terminal has room for, around those that run; and how many more there are."""
        keys = self._keys(records)
        room = max(3, self.console.height - _REST)
        running = [place for place, (_, key) in enumerate(keys) if key in self.going]
        middle = running[0] if running else len(keys) - 1 if not self.going else 0
        start = max(0, min(middle - room // 2, len(keys) - room))
        seen = keys[start : start + room]
        return [self._row(one, key, records.get(key)) for one, key in seen], len(keys) - len(seen)

    def _keys(self, records: Mapping[str, Record]) -> list[tuple[tuple[str, str, int], str]]:
        """What has ended, what runs, what can start now, in this order; the rest depends on these."""
        from ..leaderboard.plan import next_runs

        waiting = [run.key for run in next_runs(self.board, records, self.going.keys())]
        over = [key for key in records if key not in self.going]
        place = {key: number for number, key in enumerate([*over, *self.going, *waiting])}
        chosen = [(one, key) for one, key in self.board.keys.items() if key in place]
        return sorted(chosen, key=lambda one: place[one[1]])

    def _row(self, one: tuple[str, str, int], key: str, record: Record | None) -> tuple[str, ...]:
        backbone, trial, seed = one
        first = (backbone, trial, str(seed))
        if going := self.going.get(key):
            return (*first, *self._running(key, going))
        if record is None:
            return (*first, "[dim]waiting[/]", "", "")
        figure = "" if record.metric is None else f"{record.metric:.4g}"
        if record.state == "paused" and record.metric is None:
            return (*first, f"[dim]forecast {forecast(record)}[/]", "", "")
        states = {"ok": "[green]done[/]", "paused": "[yellow]paused[/]"}
        state = states.get(record.state, f"[red]failed ({record.cause})[/]")
        return (*first, state, figure, minutes(record.seconds))

    def _running(self, key: str, going: Going) -> tuple[str, str, str]:
        """State, the figure of the last evaluation, and the time left of a run, from what it logs."""
        from ..engine.report import main_figures

        at, evaluated, figures = self._progress(key, going.unit)
        done = evaluated if going.unit == "epoch" else at
        spent = time.monotonic() - going.since
        left = spent * (going.end - done) / (done - going.first) if done > going.first else None
        figure = next((f"{value:.4g}" for value in main_figures(figures).values()), "")
        state = f"{going.unit} {at}/{going.end}" if at else "starting"
        return f"[bold cyan]{state}[/]", figure, f"{minutes(left)} left" if left is not None else ""


def forecast(record: Record) -> str:
    """What a probe forecasts, as '12 min, 850 MiB, 7.1 ms'; empty without one."""
    known = record.forecast
    if "seconds" not in known:
        return ""
    latency = f", {known['latency_ms']:.3g} ms" if "latency_ms" in known else ""
    return f"{minutes(known['seconds'])}, {known['memory_mib']:.0f} MiB{latency}"


def minutes(seconds: float | None) -> str:
    """'45 s', '12 min', '3.4 h'."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
