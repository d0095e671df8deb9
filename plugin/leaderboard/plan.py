"""What runs next: a pure function of the board and the records. There is no other state."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .records import Record


@dataclass(frozen=True)
class Run:
    """One training: what it is, and the key of its record."""

    key: str
    backbone: str
    trial: str
    seed: int
    rung: int = 0


@dataclass(frozen=True)
class Board:
    """All trainings that may be asked for, before any is known.

    Attributes:
        backbones: In the order of the spec.
        trials: Names of the trials, each of which every net gets.
        seeds: Of everything random; the trials are compared on the first.
        keys: Key of each (backbone, trial, seed).
        seconds: Of training in all; no new run is asked for when they are used up.
    """

    backbones: tuple[str, ...]
    trials: tuple[str, ...]
    seeds: tuple[int, ...]
    keys: Mapping[tuple[str, str, int], str]
    seconds: float = math.inf

    def run(self, backbone: str, trial: str, seed: int) -> Run:
        """The training with its key."""
        return Run(self.keys[backbone, trial, seed], backbone, trial, seed)


def best_trial(board: Board, backbone: str, records: Mapping[str, Record]) -> str | None:
    """The trial of a net that goes on: the best on the first seed, the earlier of equals.

    None until all its trials have ended, and if all of them failed.
    """
    ended = [records.get(board.keys[backbone, trial, board.seeds[0]]) for trial in board.trials]
    if any(record is None for record in ended):
        return None
    metrics = [-math.inf if record is None or record.metric is None else record.metric for record in ended]
    return board.trials[metrics.index(max(metrics))] if max(metrics) > -math.inf else None


def next_runs(board: Board, records: Mapping[str, Record], running: Collection[str] = ()) -> list[Run]:
    """The trainings that can start now, the first ones first.

    The trials of all nets on the first seed; then, of each net, its best trial on the other seeds, one seed
    after another, so that what disturbs the machine for a while does not fall on one net.

    Args:
        board: what may be asked for.
        records: what has ended, well or not, by key.
        running: keys of what runs now.
    """
    if (
        sum(record.seconds or 0 for key, record in records.items() if key in board.keys.values())
        >= board.seconds
    ):
        return []
    first = [(backbone, trial, board.seeds[0]) for trial in board.trials for backbone in board.backbones]
    chosen = {backbone: best_trial(board, backbone, records) for backbone in board.backbones}
    then = [
        (backbone, trial, seed)
        for seed in board.seeds[1:]
        for backbone, trial in chosen.items()
        if trial is not None
    ]
    wanted = [board.run(*one) for one in (*first, *then)]
    return [run for run in wanted if run.key not in records and run.key not in running]


def counted(board: Board, records: Mapping[str, Record]) -> dict[str, list[Record]]:
    """The good records of each net's best trial, by seed: what its place on the board comes from."""
    found: dict[str, list[Record]] = {}
    for backbone in board.backbones:
        trial = best_trial(board, backbone, records)
        keys = [board.keys[backbone, trial, seed] for seed in board.seeds] if trial else []
        found[backbone] = [records[key] for key in keys if key in records and records[key].state == "ok"]
    return found


def failures(board: Board, records: Mapping[str, Record]) -> list[Record]:
    """The failed records of this board, in the order of its keys."""
    return [records[key] for key in board.keys.values() if key in records and records[key].state == "failed"]


def with_cause(records: Sequence[Record], causes: Collection[str]) -> list[Record]:
    """Those of ``records`` that failed for one of ``causes``."""
    return [record for record in records if record.cause in causes]
