"""A board read back from the folders of its runs, without its spec and its data, and run again from them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import product

from ..errors import InputError
from .plan import Board, figure_at, next_runs, step_of
from .records import Record


def board_of(records: Mapping[str, Record]) -> Board:
    """The board whose runs these are: each net on the seeds that it was run on.

    Nets, trials and seeds stand in the order in which their runs ended; the seed that all trials were run
    on, which has the most runs, comes first. A trial that was not run has a key that no record has. Of a
    halved board the rungs are where runs of it pause: some do at each.

    Raises:
        InputError: there is no record, or they are of several boards.
    """
    if not records:
        raise InputError("There is no record of a run that has ended. Run the board first.")
    ended = sorted(records.values(), key=lambda one: (one.ended, one.key))
    for what in ("task", "model"):
        values = dict.fromkeys(getattr(one, what) for one in ended)
        if len(values) > 1:
            raise InputError(f"Records differ in {what}: {', '.join(values)}. They are not of one board.")
    backbones, trials = (
        tuple(dict.fromkeys(getattr(one, key) for one in ended)) for key in ("backbone", "trial")
    )
    often = Counter(one.seed for one in ended)
    first = max(often, key=lambda seed: often[seed])
    seeds = (first, *(seed for seed in often if seed != first))
    keys = {one: f"not run: {one}" for one in product(backbones, trials, seeds)}
    keys |= {(one.backbone, one.trial, one.seed): one.key for one in ended}
    rungs = {int(max(map(step_of, one.history))) for one in ended if one.state == "paused" and one.history}
    limit = min(one.forecast.get("max_latency_ms", math.inf) for one in ended)
    own = {net: {one.seed for one in ended if one.backbone == net} for net in backbones}
    return Board(backbones, trials, seeds, keys, rungs=tuple(sorted(rungs)), max_latency=limit, own_seeds=own)


def replayed(board: Board, recorded: Mapping[str, Record]) -> dict[str, Record]:
    """What ``board`` would have left, had it paused at its rungs: read off runs that did not pause.

    A seed that was not recorded, since another trial was the best in the end, counts as the first one of its
    net and trial.

    Args:
        board: Which runs there are; its limits hold as when it runs.
        recorded: The runs, trained to their ends, by key.

    Returns:
        The records of all runs that were asked for, by key, each as far as it was trained.
    """
    known: dict[str, Record] = {}
    while runs := next_runs(board, known):
        for run in runs:
            first = recorded[board.keys[run.backbone, run.trial, board.seeds[0]]]
            known[run.key] = _paused(replace(recorded.get(run.key, first), key=run.key), run.until)
    return known


def _paused(record: Record, until: int | None) -> Record:
    """A run as it was when it had come to a pause; its time by the share of its evaluations."""
    if until is None or record.state == "failed":
        return record
    history = [row for row in record.history if step_of(row) <= until]
    share = until / max(map(step_of, record.history))
    return replace(
        record,
        state="paused",
        history=history,
        metric=figure_at(record, until),
        seconds=None if record.seconds is None else share * record.seconds,
    )
