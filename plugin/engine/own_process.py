"""What a process that is ours alone has, and sets for itself before it imports torch."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def cores() -> int:
    """Of the processor, as many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def own_process() -> Iterator[None]:
    """Threads that wait sleep, and what is imported is not looked through again and again for garbage."""
    # torch's threads spin while they wait for each other, which on a machine with other work to do
    # made a training step five times slower than sleeping does. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with _keeping_imports():
        yield


@contextmanager
def _keeping_imports() -> Iterator[None]:
    """Set aside what a full search for garbage leaves, if modules have been imported since the last one.

    torch, timm and OpenMMLab are half a million objects that live as long as the process. Python searches all
    of them whenever a quarter has been added, and mmengine asks for a search with each data set: a fifth of
    the time to a training's first step. What has no references is freed at once, as ever; at the end
    everything is searched again. Where others have set objects aside it is theirs to say which.
    """
    if gc.get_freeze_count():
        yield
        return
    seen = len(sys.modules)

    def ended(phase: str, info: dict[str, int]) -> None:
        nonlocal seen
        if phase == "stop" and info["generation"] == 2 and len(sys.modules) > seen:
            seen = len(sys.modules)
            gc.freeze()

    gc.callbacks.append(ended)
    try:
        yield
    finally:
        gc.callbacks.remove(ended)
        gc.unfreeze()
