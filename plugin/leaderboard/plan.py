"""What runs next: a pure function of the board and the records. There is no other state."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from .prior import promising
from .records import Record


@dataclass(frozen=True)
class Run:
    """One training, or a part of it: what it is, and the key of its record.

    Attributes:
        key: See :class:`.records.Record`.
        backbone: As the spec has it.
        trial: Name of the trial.
        seed: Of everything random.
        rung: How many pauses are behind it.
        until: Epoch or iteration, as the history counts, after whose evaluation it pauses; None for its end.
    """

    key: str
    backbone: str
    trial: str
    seed: int
    rung: int = 0
    until: int | None = None


@dataclass(frozen=True)
class Board:
    """All trainings that may be asked for, before any is known.

    Attributes:
        backbones: In the order of the spec.
        trials: Names of the trials, each of which every net gets.
        seeds: Of everything random, all that any net gets; the trials are compared on the first.
        keys: Key of each (backbone, trial, seed).
        seconds: Of training in all; no new run is asked for when they are used up.
        max_latency: In ms for one image, as the probes measure it; a slower net is not trained.
        rungs: The epochs or iterations, rising, after which the runs of the first seed pause: 0 for a probe,
            behind which all go on that fit into memory and keep the limit of latency; the others for halving,
            where the better half does.
        length: Epochs or iterations of a whole run, for what is told of the time left; 0 for unknown.
        own_seeds: Of each net that does not get all seeds, those that it gets; the first is among them.
    """

    backbones: tuple[str, ...]
    trials: tuple[str, ...]
    seeds: tuple[int, ...]
    keys: Mapping[tuple[str, str, int], str]
    seconds: float = math.inf
    rungs: tuple[int, ...] = ()
    max_latency: float = math.inf
    length: int = 0
    own_seeds: Mapping[str, Collection[int]] = field(default_factory=dict)

    def seeds_of(self, backbone: str) -> tuple[int, ...]:
        """The seeds that a net gets, in their order."""
        return tuple(seed for seed in self.seeds if seed in self.own_seeds.get(backbone, self.seeds))

    def run(self, backbone: str, trial: str, seed: int, rung: int | None = None) -> Run:
        """The training with its key, up to the pause that ends a rung; to its end without one."""
        rung = len(self.rungs) if rung is None else rung
        until = (*self.rungs, None)[rung]
        return Run(self.keys[backbone, trial, seed], backbone, trial, seed, rung, until)


def rungs_of(length: int, every: int) -> tuple[int, ...]:
    """Where halving pauses: the evaluations at a third and two thirds of a schedule, or just behind them.

    On trainings of BCCD the order of nets after one of 12 epochs agrees with the last by a Kendall's tau of
    0.25, after four by 0.78: an earlier rung would throw good nets away.

    Args:
        length: Epochs or iterations of the schedule.
        every: Of them between two evaluations.

    Returns:
        None, one or two of them, rising, all before the end.
    """
    found = {-(-length * third // (3 * every)) * every for third in (1, 2)}
    return tuple(sorted(rung for rung in found if rung < length))


def reached(record: Record | None, until: int | None) -> bool:
    """Whether a run has been trained up to a pause, or to its end for None."""
    if record is None or record.state != "paused":
        return record is not None and record.state == "ok"
    return until is not None and max(map(step_of, record.history), default=0) >= until


def figure_at(record: Record | None, until: int | None) -> float | None:
    """A run's figure at a pause, read off its history whether it went on or not; for None that of its end."""
    if record is None:
        return None
    if until is None:
        return record.metric
    row = next((row for row in record.history if step_of(row) == until), {})
    return figure_in(row, record.metric_name)


def figure_in(row: Mapping[str, float], metric: str) -> float | None:
    """The figure that a board ranks by, of one evaluation of a history."""
    return next((value for name, value in row.items() if name.split("/")[-1] == metric), None)


def step_of(row: Mapping[str, float]) -> float:
    """The epoch or iteration of an evaluation."""
    return row.get("epoch", row.get("iteration", 0))


def over(record: Record | None, until: int | None) -> bool:
    """Whether a run need not be asked for up to there: it has come so far, or failed."""
    return record is not None and (record.state == "failed" or reached(record, until))


def best_trial(board: Board, backbone: str, records: Mapping[str, Record]) -> str | None:
    """The trial of a net that goes on: the best on the first seed, the earlier of equals.

    With halving they are compared at the first rung. None until all its trials have come so far or failed,
    and if all of them failed.
    """
    until = next((rung for rung in board.rungs if rung), None)
    known = [records.get(board.keys[backbone, trial, board.seeds[0]]) for trial in board.trials]
    if not all(over(record, until) for record in known):
        return None
    figures = [figure_at(record, until) for record in known]
    metrics = [-math.inf if figure is None else figure for figure in figures]
    return board.trials[metrics.index(max(metrics))] if max(metrics) > -math.inf else None


def next_runs(board: Board, records: Mapping[str, Record], running: Collection[str] = ()) -> list[Run]:
    """The trainings that can start now, the first ones first.

    The trials of all nets on the first seed; then, of each net, its best trial on the other seeds, one seed
    after another, so that what disturbs the machine for a while does not fall on one net.

    Probes come first, all of them. With halving the first seed's runs pause at each rung until all have come
    there; the better half of the nets goes on with its best trial, and those of the last rung get the other
    seeds.

    Args:
        board: what may be asked for.
        records: what has ended or pauses, by key.
        running: keys of what runs now.
    """
    if (
        sum(record.seconds or 0 for key, record in records.items() if key in board.keys.values())
        >= board.seconds
    ):
        return []
    wanted = [
        board.run(net, trial, board.seeds[0], rung)
        for rung, field in enumerate(fields_of(board, records))
        for trial in board.trials
        for net, trials in field.items()
        if trial in trials
    ]
    chosen = finalists(board, records)
    wanted += [
        board.run(net, trial, seed)
        for seed in board.seeds[1:]
        for net, trial in chosen.items()
        if seed in board.seeds_of(net)
    ]
    return [run for run in wanted if not over(records.get(run.key), run.until) and run.key not in running]


def finalists(board: Board, records: Mapping[str, Record]) -> dict[str, str]:
    """Nets that are trained to the end on all seeds, as far as that is known, and the trial of each."""
    fields = fields_of(board, records)
    if len(fields) <= len(board.rungs):
        return {}
    found = {net: best_trial(board, net, records) for net in fields[-1]}
    return {net: trial for net, trial in found.items() if trial is not None}


def fields_of(board: Board, records: Mapping[str, Record]) -> list[dict[str, tuple[str, ...]]]:
    """The nets that run in each rung, and with which trials, up to the first rung that is not over."""
    fields = [dict.fromkeys(board.backbones, board.trials)]
    for until in board.rungs:
        nets = fields[-1]
        of = {(net, trial): board.keys[net, trial, board.seeds[0]] for net in nets for trial in nets[net]}
        if not all(over(records.get(key), until) for key in of.values()):
            break
        if until == 0:
            fits = {net: tuple(t for t in nets[net] if records[of[net, t]].state != "failed") for net in nets}
            known = {net: [records[of[net, t]] for t in trials] for net, trials in fits.items() if trials}
            left = [net for net in promising(known) if not _too_slow(board, known[net])]
            fields.append({net: fits[net] for net in left})
            continue
        best = {net: trial for net in nets if (trial := best_trial(board, net, records)) is not None}
        figures = {net: figure_at(records.get(of[net, trial]), until) for net, trial in best.items()}
        there = {net: figure for net, figure in figures.items() if figure is not None}
        kept = sorted(there, key=lambda net: -there[net])[: math.ceil(len(there) / 2)]
        fields.append({net: (best[net],) for net in nets if net in kept})
    return fields


def _too_slow(board: Board, probed: Sequence[Record]) -> bool:
    """Whether a net exceeds the limit of latency, by the median over the probes of its trials."""
    measured = [one.forecast["latency_ms"] for one in probed if "latency_ms" in one.forecast]
    return bool(measured) and median(measured) > board.max_latency


def refused(board: Board, records: Mapping[str, Record]) -> list[Record]:
    """Of each net that is not trained since it is slower than the limit, the record of a probe."""
    found = []
    for net in board.backbones:
        keys = [board.keys[net, trial, board.seeds[0]] for trial in board.trials]
        probed = [records[key] for key in keys if key in records and records[key].forecast]
        if _too_slow(board, probed) and not any(one.history for one in probed):
            found.append(probed[0])
    return found


def counted(board: Board, records: Mapping[str, Record]) -> dict[str, list[Record]]:
    """The good records of each net's best trial, by seed: what its place on the board comes from."""
    found: dict[str, list[Record]] = {}
    for backbone in board.backbones:
        trial = best_trial(board, backbone, records)
        keys = [board.keys[backbone, trial, seed] for seed in board.seeds_of(backbone)] if trial else []
        found[backbone] = [records[key] for key in keys if key in records and records[key].state == "ok"]
    return found


def untimed(board: Board, records: Mapping[str, Record]) -> list[str]:
    """Keys of the runs whose models are to be timed: of each net the first seed's.

    All if any has no latency, since figures compare if they are measured in turn; none if all have.
    """
    first = [runs[0].key for runs in counted(board, records).values() if runs]
    return first if any(not records[key].latency_ms for key in first) else []


def failures(board: Board, records: Mapping[str, Record]) -> list[Record]:
    """The failed records of this board, in the order of its keys."""
    return [records[key] for key in board.keys.values() if key in records and records[key].state == "failed"]


def with_cause(records: Sequence[Record], causes: Collection[str]) -> list[Record]:
    """Those of ``records`` that failed for one of ``causes``."""
    return [record for record in records if record.cause in causes]
