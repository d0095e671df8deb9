"""A model or a runner of a config that cannot be built: what the config has to say differently."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError


@contextmanager
def building() -> Iterator[None]:
    """Turns what the classes of a config raise while they are built into one error of ours.

    Raises:
        InputError: a type or an argument in the config is unknown, or parts do not fit.
    """
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, ImportError, ValueError, AssertionError) as error:
        raise InputError(f"The config cannot be built: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What an exception says; of a bare ``assert`` the line that failed."""
    if str(error) or not error.__traceback__:
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).stem} demands: {frame.line}"
