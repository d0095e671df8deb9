"""The one exception for input that a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input. The message names the bad value, what is allowed, and the next step.

    The command line prints it without a traceback and exits with status 2.
    """


class UnknownArgumentError(InputError, TypeError):
    """An argument that nobody takes. A ``TypeError`` too, as Python's own would be."""


def nearest(name: str, allowed: Iterable[str], count: int = 5) -> list[str]:
    """The names in ``allowed`` that look most like ``name``, best first; substrings count too."""
    pool = sorted(set(allowed))
    close = difflib.get_close_matches(name, pool, n=count, cutoff=0.6)
    inside = [other for other in pool if name and name.lower() in other.lower() and other not in close]
    return (close + inside)[:count]


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """A sentence with the nearest of ``allowed``, to follow another; empty where none is near."""
    near = nearest(name, allowed, count=1)
    return f" Did you mean '{near[0]}'?" if near else ""
