"""The one ranking function: what is expected of each net, from a first guess and from records of trainings.

Records say how many spreads above its board's mean a net ended. Nets that are alike (the same, of one family,
of one kind, of a similar cost) are expected to end alike, and nets without a record are judged by those that
have one: the best linear prediction (Gaussian-process regression, arXiv 1807.02811, sec. 3.1) with a
covariance that is a sum of these likenesses. How good the nets of a board are on the whole is left open, so
that only their differences count. Without records the first guess remains: the order of the selection tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..catalog import catalog_names, row_of
from .records import Board

#: How much two nets that share this are expected to share of their standing.
_SAME_NET, _SAME_FAMILY, _SAME_KIND, _COST = 0.4, 0.3, 0.1, 0.2
#: What is added to a record's noise because it was measured elsewhere: on the user's data, on other data, for
#: another task.
_OWN, _OTHER_DATA, _OTHER_TASK = 0.0, 0.5, 1.0
#: Variance of the level of a board: much, so that it is the data that say it.
_LEVEL = 100.0


@dataclass(frozen=True)
class Net:
    """What likeness goes by.

    Attributes:
        name: The catalog's name, or another's.
        family: Empty outside the catalog.
        kind: ``cnn``, ``transformer`` or ``hybrid``; empty outside the catalog.
        gflops: Billions of multiply-adds at 224 x 224; 0 for unknown.
    """

    name: str
    family: str = ""
    kind: str = ""
    gflops: float = 0.0


def net_of(name: str, gflops: float = 0.0) -> Net:
    """What is known of a net; ``gflops`` only counts outside the catalog."""
    if name not in catalog_names():
        return Net(name, gflops=gflops)
    spec = row_of(name)
    return Net(spec.name, spec.family, spec.kind, spec.gflops)


@dataclass(frozen=True)
class Expected:
    """What is expected of a net.

    Attributes:
        score: Spreads of a board above its mean.
        tie: The standard error of a difference; 0 where the net was not measured for the task.
    """

    score: float
    tie: float


def expect(
    nets: Sequence[Net], task: str, records: Sequence[Board], guesses: Mapping[str, float] | None = None
) -> list[Expected]:
    """What is expected of each of ``nets``.

    Args:
        nets: Any, in any order; the same one may stand there twice.
        task: ``detection``, ``instance`` or ``segmentation``.
        records: Boards; those of the user count most, those of another task least.
        guesses: First guesses by name, in spreads above the mean; 0 for all others.
    """
    guesses = guesses or {}
    measured: list[Net] = []
    standing: list[float] = []
    noise: list[float] = []
    levels: list[int] = []
    ties: dict[str, float] = {}
    for number, board in enumerate(records):
        gflops = {name: runs[0].gflops for name, runs in board.nets.items()}
        where = _OTHER_TASK if board.task != task else _OWN if board.own else _OTHER_DATA
        for name, value in board.standings.items():
            chance = board.noise / len(board.nets[name])
            measured.append(net_of(name, gflops[name]))
            standing.append(value)
            noise.append(chance + where)
            levels.append(number)
            if where == _OWN:
                ties[name] = max(ties.get(name, 0.0), math.sqrt(2 * chance))
    first = np.array([guesses.get(net.name, 0.0) for net in nets])
    if measured:
        surprise = np.array(standing) - [guesses.get(net.name, 0.0) for net in measured]
        level = _LEVEL * np.equal.outer(levels, levels)
        among = _likeness(measured, measured) + level + np.diag(np.maximum(noise, 1e-6))
        first = first + _likeness(nets, measured) @ np.linalg.solve(among, surprise)
    return [Expected(float(score), ties.get(net.name, 0.0)) for net, score in zip(nets, first, strict=True)]


def _likeness(some: Sequence[Net], others: Sequence[Net]) -> np.ndarray:
    """(some, others) covariances of what the nets reach."""

    def same(what: str) -> np.ndarray:
        a, b = ([getattr(net, what) for net in nets] for nets in (some, others))
        return np.equal.outer(a, b) & (np.array(a) != "")[:, None]  # what is unknown is like nothing

    costs = np.outer([_size(net) for net in some], [_size(net) for net in others])
    shared = _SAME_NET * same("name") + _SAME_FAMILY * same("family") + _SAME_KIND * same("kind")
    return np.asarray(shared + _COST * costs)


def _size(net: Net) -> float:
    """The cost on a scale on which half of the catalog lies between -1 and 1: 4 GFLOPs are 0, 16 are 1."""
    return min(2.0, max(-2.0, math.log(net.gflops / 4, 4))) if net.gflops else 0.0


def order(expected: Sequence[Expected], costs: Sequence[tuple[float, ...]]) -> list[int]:
    """Indices, best first; of measured nets within one standard error of the best, the cheaper first.

    That is the one-standard-error rule (Breiman et al. 1984). Ties are taken from the top: all that are tied
    with the best of those left stand together.

    Args:
        expected: Of :func:`expect`.
        costs: Compared one after the other, as multiply-adds, then parameters.
    """
    left = sorted(range(len(expected)), key=lambda i: (-expected[i].score, costs[i]))
    found: list[int] = []
    while left:
        best = expected[left[0]]
        behind = {i: best.score - expected[i].score for i in left}
        tied = [i for i in left if behind[i] <= min(best.tie, expected[i].tie)]
        found += sorted(tied, key=lambda i: (costs[i], -expected[i].score))
        left = [i for i in left if i not in tied]
    return found
