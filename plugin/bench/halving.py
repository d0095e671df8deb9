"""``python -m mmbackbones.bench.halving [BOARD ...]``: what halving would have saved and lost on boards.

A board that was run whole says what each run had reached at every evaluation, so the one function that says
what runs next can be asked again, with pauses. Without a folder it is the boards that the package ships.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer

from ..advisor.records import shipped_boards
from ..engine.timing import print_table
from ..leaderboard.plan import Board, counted, next_runs, rungs_of, step_of
from ..leaderboard.records import Record, read_records
from ..leaderboard.replay import board_of, replayed
from ..leaderboard.standings import Results, results_of, tied
from .machine import write_figures


@dataclass(frozen=True)
class Way:
    """One way to run a board.

    Attributes:
        name: For the user.
        cost: Time of its runs, as a part of the whole board's.
        first: The net that it ends with.
        behind: How much less that net reaches than the best, in the board's metric, over all seeds.
        tied: Whether it is the best net or cannot be told from it.
    """

    name: str
    cost: float
    first: str
    behind: float
    tied: bool

    def cells(self) -> list[str]:
        """As a row below :data:`HEAD`."""
        behind, place = f"{self.behind:.3g}", "yes" if self.tied else "no"
        return [self.name, f"{100 * self.cost:.0f} %", self.first, behind, place]


HEAD = ("way", "time", "ends with", "behind the best", "best or tied")


def ways(results: Results) -> list[Way]:
    """The whole board, halving, and each with the first seed alone; the whole board comes first."""
    records = results.records
    whole = board_of(records)
    group = [row.standing.name for row in tied(results.rows)]
    steps = sorted({int(step_of(row)) for record in records.values() for row in record.history})
    halved = replace(whole, rungs=rungs_of(steps[-1], steps[0]))
    boards = {
        "whole": whole,
        "whole, first seed": replace(whole, seeds=whole.seeds[:1]),
        "halving": halved,
        "halving, first seed": replace(halved, seeds=whole.seeds[:1]),
    }
    left = {name: replayed(board, records) for name, board in boards.items()}
    seconds = {name: sum(record.seconds or 0.0 for record in left[name].values()) for name in boards}
    truth = _means(whole, left["whole"])
    found = []
    for name, board in boards.items():
        means = _means(board, left[name])
        first = max(means, key=lambda net: means[net])
        behind = max(truth.values()) - truth[first]
        found.append(Way(name, seconds[name] / seconds["whole"], first, behind, first in group))
    return found


def _means(board: Board, records: Mapping[str, Record]) -> dict[str, float]:
    """Of each net that was trained to its end, the mean over its seeds."""
    return {
        net: fmean(one.metric or 0.0 for one in runs) for net, runs in counted(board, records).items() if runs
    }


def main(
    boards: Annotated[
        list[Path] | None, typer.Argument(help="Folders of boards that were run whole; default: the shipped.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Print what each way would have cost, and which net it would have ended with."""
    figures = []
    for folder in boards or shipped_boards():
        records = read_records(folder)
        board = board_of(records)
        if board.rungs or next_runs(board, records):
            raise typer.BadParameter(f"{folder} was not run whole. Go on with it first, without --halving.")
        found = ways(results_of(board, records, folder))
        print_table(folder.name, HEAD, [way.cells() for way in found])
        figures += [[folder.name, *astuple(way)] for way in found]
    write_figures(out, figures)


if __name__ == "__main__":
    typer.run(main)
