"""Calls timed in turn, so that a machine's other work falls on all of them, and tables of the figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median


def in_turn(
    calls: Mapping[str, Callable[[], object]],
    turns: int,
    clock: Callable[[], float] = time.perf_counter,
    warm_up: int = 1,
) -> dict[str, list[float]]:
    """Seconds of each call in each turn. A turn runs all of them, each second one in reverse order.

    So many turns more, the first ``warm_up``, are not counted. A GPU's work is waited for, where one is used.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + warm_up):
        for name in calls if turn % 2 else reversed(list(calls)):
            seconds[name].append(_of(calls[name], clock))
    return {name: found[warm_up:] for name, found in seconds.items()}


def each_call(call: Callable[[], object], least: int, warm_up: int, seconds: float = 0.0) -> list[float]:
    """Seconds on the wall of each of ``least`` calls, or more, until ``seconds`` are over.

    A GPU's work is waited for, where one is used; ``warm_up`` calls before are not counted.
    """
    found: list[float] = []
    while len(found) < warm_up + least or sum(found[warm_up:]) < seconds:
        found.append(_of(call, time.perf_counter))
    return found[warm_up:]


def _of(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds of one call, with what it leaves to a GPU and without what was left there before."""
    wait_for_gpu()
    start = clock()
    call()
    wait_for_gpu()
    return clock() - start


def wait_for_gpu() -> None:
    """Return when a GPU has done what it was asked for, where this process uses one."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def side_by_side(first: Callable[[], object], second: Callable[[], object], turns: int) -> list[float]:
    """Median seconds of two calls that take turns, and the median of each turn's second / first."""
    a, b = in_turn({"first": first, "second": second}, turns).values()
    return [median(a), median(b), median(after / before for before, after in zip(a, b, strict=True))]


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in head:
        table.add_column(name, no_wrap=name == head[0])
    for row in rows:
        table.add_row(*row)
    Console().print(table)
