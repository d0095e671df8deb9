"""The last stage of a board: the latency of its nets, timed in turn when all their runs have ended."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from .jobs import LOG, OUTCOME, Executor, Outcome, wait_for
from .plan import Board, Run, untimed
from .records import log_event, read_records, run_folder, write_atomically, write_record

#: Of the measurement, beside ``runs/``; and in it the keys of the runs whose models are timed.
FOLDER, RUNS = "latency", "runs.json"
_TOGETHER = 16  # models in memory


def time_nets(board: Board, folder: Path, executor: Executor, pause: float = 0.1) -> str:
    """Measure what :func:`.plan.untimed` asks for, and write it into the records.

    Args:
        board: whose runs have ended.
        folder: of the board; the caller holds it.
        executor: where it is measured, in a process like that of a run.
        pause: seconds between two looks at it.

    Returns:
        Why there is no latency where it failed, which costs no run; the same command tries again. Else "".
    """
    keys = untimed(board, read_records(folder))
    for start in range(0, len(keys), _TOGETHER):
        outcome = _timed(keys[start : start + _TOGETHER], folder, executor, pause)
        if outcome.cause:
            return (
                f"Latency was not measured ({outcome.cause}): {outcome.message} See {folder / FOLDER / LOG}."
            )
        records = read_records(folder)
        for key, found in outcome.facts["latency_ms"].items():
            write_record(run_folder(folder, key), replace(records[key], latency_ms=found))
    return ""


def _timed(keys: list[str], folder: Path, executor: Executor, pause: float) -> Outcome:
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    (place / OUTCOME).unlink(missing_ok=True)
    write_atomically(place / RUNS, json.dumps(keys))
    log_event(folder, "latency", keys=keys)
    return wait_for(executor.start(Run(FOLDER, "", "", 0), place), pause)
