"""Page and tables of a board: at its end, from its folder alone, and while it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .console import shortest

if TYPE_CHECKING:
    from rich.console import Console

    from ..leaderboard.loop import Say
    from ..leaderboard.plan import Board, Run
    from ..leaderboard.records import Record
    from ..leaderboard.standings import Results

_SPARING = 20  # the page is not written for longer than a part of so many of the time


def write_again(console: Console, given: Path) -> None:
    """Page and tables of a board from the folders of its runs alone, and its verdict."""
    from ..leaderboard.records import read_records
    from ..leaderboard.replay import board_of
    from ..leaderboard.standings import results_of

    folder = given.expanduser().absolute()
    if not (folder / "runs").is_dir():
        raise InputError(f"{given} is a folder without runs/: give that of a board, or a spec's file.")
    records = read_records(folder)
    write_results(console, results_of(board_of(records), records, folder, str(shortest(folder))))


def write_results(console: Console, results: Results) -> None:
    """Page and tables of a board, and its verdict on the console."""
    from ..leaderboard.tables import write_tables
    from ..leaderboard_page.page import write_page

    for line in write_tables(results):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    page = shortest(write_page(results))
    console.print(f"Page: {page}; tables: .md, .csv, .json beside it", soft_wrap=True, highlight=False)


@dataclass
class Fresh:
    """Tells of a board's runs, and writes its page and tables anew when one has ended.

    Attributes:
        say: That it tells.
        board: What runs.
        folder: Of the board.
        after: When the page may be written next, so that a large one costs little of the time.
    """

    say: Say
    board: Board
    folder: Path
    after: float = field(default=0.0, init=False)

    def __call__(self, run: Run, record: Record | None) -> None:
        from ..leaderboard.records import read_records
        from ..leaderboard.standings import results_of
        from ..leaderboard.tables import write_tables
        from ..leaderboard_page.page import write_page

        self.say(run, record)
        start = time.monotonic()
        if record is None or (record.state == "paused" and not record.history) or start < self.after:
            return
        results = results_of(self.board, read_records(self.folder), self.folder, str(shortest(self.folder)))
        write_tables(results)
        write_page(results)
        end = time.monotonic()
        self.after = end + _SPARING * (end - start)
