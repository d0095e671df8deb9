"""A command's work in several processes of this machine, as torchrun would start them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import typer

from ..engine.own_process import cores
from ..leaderboard.orphans import die_with
from .ending import ending

PATIENCE = 30.0  # seconds for the others to end by themselves when one has


def call_together(count: int, call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """``call(*args, **kwargs)`` in ``count`` processes, told ``launcher="pytorch"``.

    Of one alone it is called in this one, as it is. The cores are shared out among them. Only the
    first is heard. Ctrl-C and SIGTERM are passed on once, and when one fails the others are ended.

    Args:
        count: of processes.
        call: a function of a module, which can be sent to a process.

    Raises:
        typer.Exit: with the status of the one that failed first, or that of the signal.
    """
    if count == 1:
        call(*args, **kwargs)
        return
    spawn = multiprocessing.get_context("spawn")
    shared = dict(WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    shared["OMP_NUM_THREADS"] = str(max(1, cores() // count))  # read when a member imports torch
    with TemporaryDirectory(prefix="mmbackbones-") as folder:
        members = []
        for rank in range(count):
            variables = dict(shared, RANK=str(rank), LOCAL_RANK=str(rank))
            quiet = str(Path(folder) / f"{rank}.txt") if rank else ""
            members.append(spawn.Process(target=_member, args=(variables, quiet, call, args, kwargs)))
        with _passing_on(members):
            for member in members:
                member.start()
            first = _end_of_all(members)
        if first is not None and first.exitcode:
            if first is not members[0]:
                said = Path(folder) / f"{members.index(first)}.txt"
                typer.echo(said.read_text(encoding="utf-8", errors="replace"), err=True)
            raise typer.Exit(first.exitcode if first.exitcode > 0 else 128 - first.exitcode)


def _end_of_all(members: Sequence[SpawnProcess]) -> SpawnProcess | None:
    """Wait for all; returns the one that failed first. What still runs a while after that is killed."""
    failed: SpawnProcess | None = None
    running, end = list(members), float("inf")
    while running:
        wait([member.sentinel for member in running], timeout=None if failed is None else 1.0)
        for member in [one for one in running if not one.is_alive()]:
            running.remove(member)
            if member.exitcode and failed is None:
                failed, end = member, time.monotonic() + PATIENCE
        if time.monotonic() > end:
            for member in running:
                member.kill()
    return failed


@contextmanager
def _passing_on(members: Sequence[SpawnProcess]) -> Iterator[None]:
    """Pass Ctrl-C and SIGTERM on to the members, who lead groups of their own, so that each gets one."""

    def pass_on(signum: int, _: FrameType | None) -> None:
        for member in members:
            if member.is_alive() and member.pid:
                os.kill(member.pid, signum)

    before = {signum: signal.signal(signum, pass_on) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def free_port() -> int:
    """A port of this machine where processes can meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _member(
    variables: dict[str, str], quiet: str, call: Callable[..., object], args: Any, kwargs: Any
) -> None:
    """One of the processes; it dies with the one that started it."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        die_with(parent.pid)
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    os.environ.update(variables)
    if quiet:
        file = os.open(quiet, os.O_WRONLY | os.O_CREAT)
        for channel in (1, 2):
            os.dup2(file, channel)
    with ending():
        call(*args, **kwargs | {"launcher": "pytorch"})
