"""What was known of the nets before they were trained, and how well it foretold the board.

A score of transfer alone is worse than a list by size (arXiv 2510.06448), so it only counts together with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .records import Record

_FEWEST = 3  # nets for an order to agree with another
#: What nets can be ordered by before their training, as words for the user.
PRIORS = ("transfer score", "size", "both")


@dataclass(frozen=True)
class Hit:
    """How well an order from before the training foretold the board.

    Attributes:
        by: One of :data:`PRIORS`.
        tau: Kendall's rank correlation with the metric; 1 for the same order.
        first: The net that it put first.
        place: Of that net on the board, counted from 1.
        tied: Whether that is the best net or tied with it.
        nets: How many nets have a transfer score; only they are compared.
        of: How many nets there are.
    """

    by: str
    tau: float
    first: str
    place: int
    tied: bool
    nets: int
    of: int


def transfer_of(records: Sequence[Record]) -> float | None:
    """The transfer score of a net, from the probe of any of its runs; None: not measured."""
    return next((one.forecast["transfer"] for one in records if "transfer" in one.forecast), None)


def params_of(records: Sequence[Record]) -> float | None:
    """Parameters of the model, from a run or from its probe."""
    known = (one.params or one.forecast.get("params") for one in records)
    return next((size for size in known if size), None)


def promising(nets: Mapping[str, Sequence[Record]]) -> list[str]:
    """The nets, the most promising first: by the mean of their places by transfer score and by size.

    One without a score stands by its size. Where no net has a score they keep their order.
    """
    scores = {net: transfer_of(records) for net, records in nets.items()}
    sizes = {net: params_of(records) for net, records in nets.items()}
    if not any(score is not None for score in scores.values()):
        return list(nets)
    places = [_places(scores), _places(sizes)]

    def place(net: str) -> float:
        known = [one[net] for one in places if net in one]
        return sum(known) / len(known) if known else 1.0

    return sorted(nets, key=place)


def _places(values: Mapping[str, float | None]) -> dict[str, float]:
    """Of each net with a value its place, 0 for the largest to 1 for the smallest."""
    known = sorted((net for net in values if values[net] is not None), key=lambda net: -(values[net] or 0))
    return {net: place / max(1, len(known) - 1) for place, net in enumerate(known)}


def hits(ranked: Mapping[str, Sequence[Record]], tied: Sequence[str]) -> list[Hit]:
    """How well each of :data:`PRIORS` foretold a board; empty where fewer than three nets have a score.

    All are told of the same nets, those with a transfer score.

    Args:
        ranked: The records of each net, the best net first.
        tied: The nets that cannot be told from the best.
    """
    from scipy.stats import kendalltau

    board = {net: runs for net, runs in ranked.items() if transfer_of(runs) is not None and params_of(runs)}
    if len(board) < _FEWEST:
        return []
    means = [sum(one.metric or 0 for one in runs) / len(runs) for runs in board.values()]
    by_both = promising(board)
    orders: dict[str, Callable[[str], float]] = {
        "transfer score": lambda net: transfer_of(board[net]) or 0.0,
        "size": lambda net: params_of(board[net]) or 0.0,
        "both": lambda net: -by_both.index(net),
    }
    found = []
    for by, read in orders.items():
        values = [read(net) for net in board]
        first = max(board, key=read)
        tau = float(kendalltau(values, means).statistic)
        place = 1 + list(ranked).index(first)
        found.append(Hit(by, round(tau, 2), first, place, first in tied, len(board), len(ranked)))
    return found


def told_of_priors(found: Sequence[Hit]) -> str:
    """One sentence on how well the board was foretold; empty where nothing is known of it."""
    if not found:
        return ""
    words = [
        f"by {hit.by} {hit.tau:.2f} (its first, {hit.first}, is "
        f"{'among the best' if hit.tied else f'number {hit.place}'})"
        for hit in found
    ]
    nets = f"{found[0].nets} nets"
    if found[0].nets < found[0].of:
        nets += f" (of the other {found[0].of - found[0].nets} the transfer score is not measured)"
    return f"Foretold before training, as Kendall's tau over {nets}: {'; '.join(words)}."
