"""Verdicts from processes of their own, within a time limit."""

from __future__ import annotations

import multiprocessing
import warnings
from multiprocessing.connection import Connection
from typing import Any

from verdicts import BROKEN, check

LIMIT = 120  # seconds for one network


def _work(pipe: Connection) -> None:
    """A worker: names in, verdicts out."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    while True:
        try:
            name = pipe.recv()
        except EOFError:  # the sweep is over
            return
        # RegNet of torchvision cannot be built on the meta device
        found = _guarded(name, "meta")
        pipe.send(_guarded(name, "cpu") if found["verdict"] == BROKEN and "torchvision" in name else found)


def _guarded(name: str, device: str) -> dict[str, Any]:
    import torch

    try:
        with torch.device(device):
            return check(name)
    except Exception as error:  # whatever escapes an upstream is a finding
        return {"verdict": BROKEN, "reason": f"{type(error).__name__}: {error}"}


class Worker:
    """A process that checks names one by one and is replaced when one takes too long."""

    def __init__(self) -> None:
        self.process: Any = None

    def __call__(self, name: str) -> dict[str, Any]:
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_work, args=(theirs,), daemon=True)
            self.process.start()
        self.pipe.send(name)
        try:
            if self.pipe.poll(LIMIT):
                return self.pipe.recv()
            found = {"verdict": BROKEN, "reason": f"took more than {LIMIT} s"}
        except (EOFError, OSError):
            found = {"verdict": BROKEN, "reason": "the process died"}
        self.process.kill()
        self.process = None
        return found
