"""``seeds`` and ``more_seeds`` of a spec."""

from __future__ import annotations

from typing import Any

from .marks import Marked


def read_seeds(marked: Marked) -> tuple[int, ...]:
    """The seeds of all nets; three without the key."""
    return _seeds(marked, marked.value.get("seeds", 3), "seeds")


def read_more_seeds(marked: Marked, backbones: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Nets that get other seeds than ``seeds``; all of them get the first one, which compares the trials."""
    first = read_seeds(marked)[0]
    found = {}
    for name, given in marked.mapping("more_seeds", backbones).items():
        found[name] = _seeds(marked, given, "more_seeds", name)
        if first not in found[name]:
            raise marked.error(
                f"more_seeds: {name} {given} lacks the seed {first}, on which trials are compared. Add it.",
                "more_seeds",
                name,
            )
    return found


def _seeds(marked: Marked, given: Any, *way: str) -> tuple[int, ...]:
    """A number of seeds, or a list of them, as ``given`` at that place of the spec."""
    seeds = list(range(given)) if type(given) is int else given
    whole = isinstance(seeds, list) and all(type(seed) is int for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise marked.error(
            f"{': '.join(way)} {given}: give a number of seeds, or a list of different whole numbers.", *way
        )
    return tuple(seeds)
