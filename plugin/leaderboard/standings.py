"""The rows of a board, derived from its records and their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np

from ..errors import InputError
from .plan import Board, counted, failures, refused
from .prior import Hit, hits
from .records import Record, run_folder
from .scores import SCORES, Scores, load_scores
from .statistics import Net, Standing, compare, draw, seed_interval

_DRAWS = 400  # variances to 7 %


@dataclass(frozen=True)
class Row:
    """One net of the board.

    Attributes:
        standing: Its place.
        records: Its runs, by seed.
        seed_interval: See :func:`.statistics.seed_interval`.
    """

    standing: Standing
    records: tuple[Record, ...]
    seed_interval: tuple[float, float] | None

    @property
    def latency(self) -> float | None:
        """p50 in ms, the median over the seeds."""
        return self.middle(lambda record: record.latency_ms.get("p50"))

    def middle(self, read: Callable[[Record], float | None]) -> float | None:
        """The median of a figure over the seeds; None where none has it."""
        known = [value for record in self.records if (value := read(record)) is not None]
        return median(known) if known else None


@dataclass(frozen=True)
class Results:
    """A board as it stands: what its tables and its page are derived from.

    Attributes:
        rows: All nets with a result, best first.
        records: Runs of the board that have ended, by key.
        failed: Those of them that failed.
        refused: Of each net that was not trained since it is slower than the limit, one of its probes.
        folder: Of the board.
        shown: How the user calls that folder, in commands.
    """

    rows: tuple[Row, ...]
    records: Mapping[str, Record]
    failed: tuple[Record, ...]
    folder: Path
    shown: str
    refused: tuple[Record, ...] = ()

    @cached_property
    def hits(self) -> list[Hit]:
        """How well the board was foretold, see :mod:`.prior`."""
        ranked = {row.standing.name: row.records for row in self.rows}
        return hits(ranked, [row.standing.name for row in tied(self.rows)])


def results_of(board: Board, records: Mapping[str, Record], folder: Path, shown: str = "") -> Results:
    """How ``board`` stands after ``records``, which lie in ``folder``.

    Raises:
        InputError: the runs cannot be compared, see :func:`rows_of`.
    """
    mine = {key: records[key] for key in board.keys.values() if key in records}
    rows = tuple(rows_of(board, mine, folder))
    left_out = tuple(_with_reason(record, board.max_latency) for record in refused(board, mine))
    return Results(rows, mine, tuple(failures(board, mine)), folder, shown or str(folder), left_out)


def _with_reason(probed: Record, limit: float) -> Record:
    """The record of a net that exceeds the limit of latency, as a row of those that have no result."""
    latency = probed.forecast["latency_ms"]
    return replace(
        probed,
        cause="latency",
        message=f"{latency:.1f} ms an image, limits.max_latency is {limit:g}.",
        next_step="Not trained. Give `max_latency` more, or take a smaller image for all nets.",
    )


def rows_of(board: Board, records: Mapping[str, Record], folder: Path) -> list[Row]:
    """All nets with a result, best first.

    Raises:
        InputError: runs were validated on different data, or their scores are not there.
    """
    found = {name: runs for name, runs in counted(board, records).items() if runs}
    _check_alike([record for runs in found.values() for record in runs])
    scores = {record.key: _scores_of(folder, record.key) for runs in found.values() for record in runs}
    sizes = {one.count for one in scores.values()}
    if len(sizes) > 1:
        raise InputError(f"The runs in {folder} were validated on {sorted(sizes)} images; compare alike.")
    if not sizes:
        return []
    counts = draw(sizes.pop(), _DRAWS)
    nets = [
        Net(
            name,
            {record.seed: float(record.metric or 0) for record in runs},
            np.mean([scores[record.key].metric(counts) for record in runs], axis=0),
        )
        for name, runs in found.items()
    ]
    return [
        Row(one, tuple(runs), seed_interval([float(record.metric or 0) for record in runs]))
        for one in compare(nets, counts.shape[1])
        if (runs := found[one.name])
    ]


def tied(rows: Sequence[Row]) -> list[Row]:
    """The best, and what is tied with it."""
    return [row for row in rows if row.standing.group == 1]


def cheapest(rows: Sequence[Row]) -> Row:
    """Of these the one with the lowest latency, or with the fewest parameters where it was not measured."""
    if all(row.latency is not None for row in rows):
        return min(rows, key=lambda row: row.latency or 0)
    return min(rows, key=lambda row: row.records[0].params or 0)


def _check_alike(records: Sequence[Record]) -> None:
    for what in ("data", "metric_name", "task"):
        values = sorted({getattr(record, what) for record in records})
        if len(values) > 1:
            raise InputError(f"Records differ in {what}: {', '.join(values)}. They are not of one board.")


def _scores_of(folder: Path, key: str) -> Scores:
    path = run_folder(folder, key) / SCORES
    if not path.is_file():
        raise InputError(f"{path} is missing: copy whole run folders, or delete that run's to run it again.")
    return load_scores(path)
