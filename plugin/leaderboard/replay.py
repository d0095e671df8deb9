"""A board read back from the folders of its runs, without its spec and its data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import product

from ..errors import InputError
from .plan import Board, step_of
from .records import Record


def board_of(records: Mapping[str, Record]) -> Board:
    """The board whose runs these are; what has not ended has a key that no record has.

    Nets, trials and seeds stand in the order in which their runs ended; the seed that all trials were run
    on, which has the most runs, comes first. Of a halved board the rungs are where runs of it pause: some do
    at each.

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
    return Board(backbones, trials, seeds, keys, rungs=tuple(sorted(rungs)), max_latency=limit)
