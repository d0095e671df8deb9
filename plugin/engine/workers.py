"""Loader workers: a SIGTERM that is sent to every process of a training must not end them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial

from torch.utils.data import DataLoader

from .own_process import cores


def note_of(loader: DataLoader) -> str:
    """What a user should hear of the number of workers; empty where there are not too many."""
    many, here = loader.num_workers, cores()
    if many <= here:
        return ""
    return f"{many} processes load the data, and {here} cores are here: --workers {here} takes less memory"


def guard(loader: DataLoader) -> DataLoader:
    """Let the workers of ``loader`` live until the main process ends them; returns ``loader``.

    Slurm and ``timeout`` send SIGTERM to all processes. torch's workers would go at once, and the main
    process could not finish its iteration.
    """
    if loader.num_workers:
        loader.worker_init_fn = partial(_start, loader.worker_init_fn)
    return loader


def _start(init: Callable[[int], None] | None, worker: int) -> None:
    """Obey SIGTERM from the parent alone, as it ends workers by it; then run the worker's own ``init``."""
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if init is not None:
        init(worker)


def _end_with_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
