"""What ``test_together.py`` calls in processes of their own; light, for each imports it anew."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import typer

from mmbackbones.errors import InputError


def note(folder: Path, launcher: str = "none") -> None:
    """What a process is told, in a file of its rank."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
    found = {name: os.environ.get(name) for name in names}
    rank = found["RANK"] or "alone"
    (folder / f"{rank}.json").write_text(json.dumps(found | {"launcher": launcher}))
    print(f"said by {rank}", flush=True)


def fail(rank: str, how: str, launcher: str) -> None:
    """One process fails; the other would wait for it, as in a collective call."""
    if os.environ["RANK"] == rank:
        if how == "input":
            raise InputError("There is no such thing. Take another.")
        if how == "exit":
            raise typer.Exit(3)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def until_stopped(folder: Path, launcher: str) -> None:
    """Counts the signals that it gets; ends on the first, a moment later."""
    got: list[int] = []
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda number, _: got.append(number))
    (folder / f"{os.environ['RANK']}.ready").touch()
    while not got:
        time.sleep(0.05)
    time.sleep(0.3)
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(got))
    raise typer.Exit(128 + got[0])
