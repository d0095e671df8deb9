"""Runs a board: starts what the plan says, writes a record of each run that ends, until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from .jobs import LOG, Executor, Job, Outcome, tail
from .plan import Board, Run, failures, next_runs, with_cause
from .records import CAUSES, Record, log_event, now, read_records, run_folder, set_aside, write_record

#: Called with a run and its record, None when it starts.
Say = Callable[[Run, Record | None], None]


def run_board(
    board: Board,
    folder: Path,
    executor: Executor,
    describe: Callable[[Run], Record],
    *,
    prepare: Callable[[Run, Path], None] = lambda run, folder: None,
    say: Say = lambda run, record: None,
    only: Callable[[Run], bool] = lambda run: True,
    pause: float = 0.1,
) -> None:
    """Run all that is left of ``board``; the caller holds the folder (see :func:`.lock.hold`).

    Args:
        board: what to run.
        folder: where the records are; nothing else says how far the board is.
        executor: where runs run.
        describe: what is known of a run before it starts, as a record.
        prepare: puts what a run needs into its folder.
        say: for progress.
        only: which runs are to start.
        pause: seconds between two looks at the jobs.

    Raises:
        InputError: the disk is full, or a record cannot be read.
        KeyboardInterrupt: as it came; the jobs have been stopped.
    """
    jobs: dict[str, tuple[Run, Job]] = {}
    try:
        while True:
            records = read_records(folder)
            todo = [run for run in next_runs(board, records, jobs.keys()) if only(run)]
            for run in todo[: executor.slots - len(jobs)]:
                place = run_folder(folder, run.key)
                place.mkdir(parents=True, exist_ok=True)
                prepare(run, place)
                log_event(folder, "start", **asdict(run))
                jobs[run.key] = run, executor.start(run, place)
                say(run, None)
            if not jobs:
                return
            while not (ended := {key: end for key, (_, job) in jobs.items() if (end := job.poll())}):
                time.sleep(pause)
            for key, outcome in ended.items():
                run, _ = jobs.pop(key)
                record = _record(describe(run), records.get(key), outcome, run_folder(folder, key))
                write_record(run_folder(folder, key), record)
                log_event(folder, "end", key=key, state=record.state, cause=record.cause)
                say(run, record)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error.strerror or error}. When that is mended, the same command "
            f"goes on; no run that has ended is repeated."
        ) from error
    finally:
        for _, job in jobs.values():
            job.stop()


def retry(board: Board, folder: Path, causes: Collection[str]) -> list[Record]:
    """Let the runs that failed for one of ``causes`` run again; returns their old records.

    Raises:
        InputError: no such cause.
    """
    for cause in causes:
        if cause not in CAUSES:
            raise InputError(f"--retry {cause}: no such cause. Take of {', '.join(CAUSES)}.")
    chosen = with_cause(failures(board, read_records(folder)), causes)
    for record in chosen:
        set_aside(folder, record.key)
        log_event(folder, "retry", key=record.key, cause=record.cause)
    return chosen


def _record(known: Record, before: Record | None, outcome: Outcome, folder: Path) -> Record:
    """The record of a run that has ended, or pauses.

    Args:
        known: what was known before it started.
        before: its record at the pause that it went on from.
        outcome: how it ended.
        folder: of the run.

    Raises:
        OSError: it ended since the disk is full, which is no fault of the net.
    """
    if outcome.cause == "disk":
        raise OSError(outcome.message)
    facts: dict[str, Any] = {**outcome.facts, "ended": now()}
    earlier = before.forecast if before is not None else {}
    facts["forecast"] = {**earlier, **facts.get("forecast", {}), **known.forecast}
    for name in ("seconds", "energy_joules"):
        if before is not None and (spent := getattr(before, name)):
            facts[name] = spent + (facts.get(name) or 0)
    if not outcome.cause:
        return replace(known, state="ok" if outcome.until is None else "paused", **facts)
    return replace(
        known,
        state="failed",
        cause=outcome.cause,
        message=outcome.message,
        log_tail=tail(folder / LOG),
        next_step=CAUSES[outcome.cause],
        **facts,
    )
