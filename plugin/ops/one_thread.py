"""One thread of torch for products too small to share."""

from __future__ import annotations

import threading

import torch


class _OneThread:
    """torch on one thread, inside, for any number of threads of Python at once.

    The number of torch is partly the process's and partly each thread's: one that enters while another is
    inside may find 1. So the number to go back to is that from before the first one entered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 1
        self._own = threading.local()

    def __enter__(self) -> None:
        with self._lock:
            found = torch.get_num_threads()
            if self._inside == 0:
                self._before = found
            self._own.before = found if found > 1 else self._before
            self._inside += 1
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            torch.set_num_threads(self._own.before)
            self._inside -= 1


#: ``with one_thread:`` runs what is inside on one thread of torch.
one_thread = _OneThread()
