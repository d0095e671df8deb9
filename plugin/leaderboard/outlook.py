"""How much of a board is left: what is still to be trained, with halving, and how long that will take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from .plan import Board, fields_of, finalists, over
from .records import Record


@dataclass(frozen=True)
class Part:
    """A part of a training that is still to come.

    Attributes:
        net: Empty where it is not known yet which net goes on.
        share: Of a whole training.
        ends: Whether the training ends with it, and does not pause.
    """

    net: str
    share: float
    ends: bool


def parts_left(board: Board, records: Mapping[str, Record]) -> list[Part]:
    """What is still to be trained if no run fails; probes take no time here.

    With halving the better half goes on at each rung, whichever nets that will be.
    """
    fields = fields_of(board, records)
    bounds = [*(rung for rung in board.rungs if rung), board.length or 1]
    shares = [(after - before) / bounds[-1] for before, after in zip([0, *bounds], bounds, strict=False)]
    fields = fields[len(board.rungs) - len(bounds) + 1 :] or fields[-1:]  # without that of the probes
    found: list[Part] = []
    count = len(fields[-1])
    for place, share in enumerate(shares):
        until, ends = (*bounds[:-1], None)[place], place == len(shares) - 1
        if place < len(fields):
            count = len(fields[place])
            found += [
                Part(net, share, ends)
                for net, trials in fields[place].items()
                for trial in trials
                if not over(records.get(board.keys[net, trial, board.seeds[0]]), until)
            ]
        else:
            count = math.ceil(count / 2)
            found += [Part("", share, ends)] * count
    chosen = finalists(board, records)
    open_ = [""] * count
    if len(fields) == len(shares):
        open_ = [net for net in fields[-1] if net not in chosen and not _lost(board, net, records)]
    for seed in board.seeds[1:]:
        ready = [net for net in chosen if not over(records.get(board.keys[net, chosen[net], seed]), None)]
        wanted = [net for net in (*ready, *open_) if seed in board.seeds_of(net)]
        found += [Part(net, 1.0, True) for net in wanted]
    return found


def _lost(board: Board, net: str, records: Mapping[str, Record]) -> bool:
    """Whether all trials of a net failed."""
    known = [records.get(board.keys[net, trial, board.seeds[0]]) for trial in board.trials]
    return all(one is not None and one.state == "failed" for one in known)


def time_left(board: Board, records: Mapping[str, Record], at_a_time: int = 1) -> float | None:
    """Seconds until all is done; None if nothing is left, or nothing is known of how long a run takes.

    A run takes as long as the net's others that have ended, or as its probe says, or as those of other nets.

    Args:
        board: What runs.
        records: Of its runs so far.
        at_a_time: Runs at a time.
    """
    known: dict[str, list[float]] = {}
    for one in records.values():
        if one.state == "ok" and one.seconds:
            known.setdefault(one.backbone, []).append(one.seconds)
    for one in records.values():
        if one.backbone not in known and "seconds" in one.forecast:
            known[one.backbone] = [one.forecast["seconds"]]
    left = parts_left(board, records)
    if not known or not left:
        return None
    usual = mean(mean(seconds) for seconds in known.values())
    seconds = sum(part.share * mean(known.get(part.net, [usual])) for part in left) / at_a_time
    spent = sum(one.seconds or 0 for one in records.values())
    return min(seconds, max(0.0, board.seconds - spent))


def planned(board: Board, records: Mapping[str, Record] | None = None) -> int:
    """Runs that come to an end, those that have included, if no more fail."""
    known = records or {}
    ended = sum(one.state != "paused" for one in known.values())
    return ended + sum(part.ends for part in parts_left(board, known))
