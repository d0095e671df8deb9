"""No process outlives the one that it works for, however that one dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_LOOK = 1.0  # seconds, where the system does not tell


def die_with(parent: int) -> None:
    """Let this process, and whatever it forks, be killed when its parent dies.

    Args:
        parent: the process that is meant; if another is the parent by now, it has died already.
    """
    _die_with_parent()
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)
    os.register_at_fork(after_in_child=_die_with_parent)  # loader workers: the system forgets it at a fork


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(128 + signal.SIGKILL)
