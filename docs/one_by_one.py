"""Trainings of a table in docs/results.md, each in a process of its own, and each once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def unless_there(result: Path, run: Callable[..., None], *args: Any) -> None:
    """Call ``run(*args, result)``, which writes ``result``, with one thread; nothing where that file is.

    Raises:
        SystemExit: it failed.
    """
    if result.is_file():
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    one = multiprocessing.get_context("spawn").Process(target=run, args=(*args, result))
    one.start()
    one.join()
    if one.exitcode:
        raise SystemExit(f"{result.stem} failed with exit code {one.exitcode}")
    print(result.stem, result.read_text(), flush=True)  # noqa: T201
