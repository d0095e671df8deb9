"""What a training costs: time for an image, and memory."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections import deque
from statistics import median
from typing import Any, Protocol

import torch
from mmengine.hooks import Hook
from torch.utils.hooks import RemovableHandle

from ..registry import HOOKS


@HOOKS.register_module()
class CostHook(Hook):
    """Measures the steps of a training and the predictions of its evaluations, without their scoring.

    On a GPU the time is that between two marks in its queue, which are read when it has passed them, so that
    no step waits for it, and the memory is what torch had allocated at most. On the CPU the time is that of
    the processor, summed over threads, so that other work on the machine does not count, and the memory is
    what the process grew by in training at most, looked at ten times a second. Reading the data is left out.
    """

    priority = "VERY_HIGH"  # the first after a step, so that the time of other hooks does not count

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {"train": [], "val": []}
        self._memory: PeakMemory | None = None
        self._started: _Mark = _CpuMark()
        self.pending: deque[tuple[str, _Mark, _Mark, int]] = deque()
        self._cuda = False
        self._handles: list[RemovableHandle] = []
        self._batch: Any = None

    @property
    def figures(self) -> dict[str, float]:
        """``train_ms`` and ``predict_ms`` of an image, medians over the steps; ``memory_mib`` of training."""
        self._read(wait=True)
        named = {"train_ms": self._seconds["train"], "predict_ms": self._seconds["val"]}
        found = {name: round(1e3 * median(seconds), 2) for name, seconds in named.items() if seconds}
        if self._memory is not None and self._memory.peak is not None:
            found["memory_mib"] = round(self._memory.peak, 1)
        return found

    def before_train(self, runner: Any) -> None:
        self._cuda = next(runner.network.parameters()).is_cuda
        self._memory = PeakMemory(self._cuda)

    def after_train(self, runner: Any) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching the memory; safe to call twice."""
        if self._memory is not None:
            self._memory.stop()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._start()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        self._note("train", data_batch)

    def before_val(self, runner: Any) -> None:
        network = runner.network
        self._handles = [
            network.register_forward_pre_hook(self._start),
            network.register_forward_hook(self._end_of_prediction),
        ]

    def after_val(self, runner: Any) -> None:
        for handle in self._handles:
            handle.remove()

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._batch = data_batch

    def _start(self, *_: Any) -> None:
        self._started = self._mark()

    def _end_of_prediction(self, *_: Any) -> None:
        self._note("val", self._batch)

    def _note(self, what: str, batch: Any) -> None:
        self.pending.append((what, self._started, self._mark(), len(batch["inputs"])))
        self._read()

    def _mark(self) -> _Mark:
        return _GpuMark() if self._cuda else _CpuMark()

    def _read(self, wait: bool = False) -> None:
        """Read the steps that have ended, or ``wait`` for all; only those still running are kept as marks."""
        while self.pending and (wait or self.pending[0][2].passed()):
            what, start, end, images = self.pending.popleft()
            self._seconds[what].append(end.seconds_since(start) / images)


class _Mark(Protocol):
    """A moment, known at once or later."""

    def passed(self) -> bool:
        """Whether the moment has come; asking does not wait."""

    def seconds_since(self, start: Any) -> float:
        """Seconds between two marks of a kind; waits until this one has passed."""


class _CpuMark:
    def __init__(self) -> None:
        self._seconds = time.process_time()

    def passed(self) -> bool:
        return True

    def seconds_since(self, start: _CpuMark) -> float:
        return self._seconds - start._seconds


class _GpuMark:
    """A place in the GPU's queue, which goes on without this process."""

    def __init__(self) -> None:
        self._event = torch.cuda.Event(enable_timing=True)
        self._event.record()

    def passed(self) -> bool:
        return bool(self._event.query())

    def seconds_since(self, start: _GpuMark) -> float:
        self._event.synchronize()
        return 1e-3 * float(start._event.elapsed_time(self._event))


class PeakMemory:
    """MiB at most since it was made: of torch on a GPU, else what this process grew by."""

    def __init__(self, cuda: bool) -> None:
        self.peak: float | None = None
        self.cuda = cuda
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            _give_back()
            self._before = resident()
            self.peak = 0.0
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak or 0.0, resident() - self._before)
            if self._stopped.wait(0.1):
                return

    def so_far(self) -> float:
        """MiB up to now; so that a short step is not missed, what the process holds now counts too."""
        if self.cuda:
            return float(torch.cuda.max_memory_allocated() / 2**20)
        return max(self.peak or 0.0, resident() - self._before)

    def stop(self) -> None:
        """Stop watching; ``peak`` stays as it is."""
        if self.cuda:
            self.peak = self.so_far()
        elif self._thread is not None:
            self._stopped.set()
            self._thread.join()


def _give_back() -> None:
    """Give free memory back to the system: a training would take it again, and as much of it would not show.

    glibc keeps what models took that were built before, of each as much as happens to lie between the rest.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # musl has none
        trim(0)


def resident() -> float:
    """MiB that this process holds now."""
    import psutil

    return float(psutil.Process().memory_info().rss / 2**20)
