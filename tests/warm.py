"""Processes that need not import torch again: each is forked from one that has, which does nothing else.

For tests of what a process does. That the command runs from a cold start is seen by the trainings of
:mod:`cli_trainings` and under torchrun in ``test_cli_stops.py``.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(
    [
        "mmbackbones.cli",
        "mmbackbones.engine.train",
        "mmbackbones.backbone",
        *(f"mmdet.{part}" for part in ("datasets", "engine", "evaluation", "models", "visualization")),
        *(f"mmseg.{part}" for part in ("datasets", "engine", "evaluation", "models", "visualization")),
    ]
)


class Command:
    """``mmbackbones`` with ``words`` in a process of its own, leader of a group as in a terminal.

    Args:
        words: of the command line; or a Python file and its words, in place of ``mmbackbones``.
        output: file that gets what it says on both channels.
        env: beside the variables of this process.
    """

    def __init__(self, words: list[object], output: Path, **env: object) -> None:
        self.file = output
        variables = {**os.environ, "COLUMNS": "200", **{key: str(value) for key, value in env.items()}}
        self.process: ForkServerProcess = WARM.Process(
            target=_command, args=([*map(str, words)], str(output), variables)
        )
        self.process.start()

    @property
    def output(self) -> str:
        return self.file.read_text(encoding="utf-8")

    def end(self, code: int, seconds: float = 300) -> str:
        """Wait for its end with status ``code``; returns what it said."""
        self.process.join(seconds)
        self.kill()
        assert self.process.exitcode == code, self.output
        return self.output

    def kill(self) -> None:
        """End it if it still runs, with the workers that load its data."""
        if self.process.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.join()


def _command(words: list[str], output: str, variables: dict[str, str]) -> None:
    from mmbackbones.cli import main

    os.setsid()
    os.environ.clear()
    os.environ.update(variables)
    torch.set_num_threads(1)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for channel in (1, 2):
        os.dup2(file, channel)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if words[0].endswith(".py"):
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
    else:
        main(words)


def in_processes(function: Callable[..., None], *args: Any, count: int = 2) -> None:
    """Call ``function(rank, *args)`` in ``count`` processes; an exception in one is raised here."""
    torch.multiprocessing.start_processes(function, args, nprocs=count, start_method="forkserver")
