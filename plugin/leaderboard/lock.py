"""One leaderboard to a folder: a lock that the system takes back when its holder dies, however it dies."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from .records import now

LOCK = "lock"


@contextmanager
def hold(board: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the folder of a board, or of a run.

    Args:
        board: the folder.
        patience: seconds to wait for another that holds it.

    Raises:
        InputError: another leaderboard does; the message has its process and host.
    """
    import fcntl

    board.mkdir(parents=True, exist_ok=True)
    with (board / LOCK).open("a+", encoding="utf-8") as file:  # not passed on to children
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() < end:
                    time.sleep(0.1)
                    continue
                raise InputError(
                    f"{board} is held by {_holder(board / LOCK)}. Wait for it, or stop it."
                ) from error
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now()}))
        file.flush()
        yield


def _holder(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return f"process {content['pid']} on {content['host']}, since {content['since']}"
    except (ValueError, KeyError):  # it has only just started
        return "another leaderboard"
