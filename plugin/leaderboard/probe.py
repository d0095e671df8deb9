"""Before a training starts: its time and memory, tried on a few batches, and its net's latency."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import CheckpointHook, Hook

from ..compose.configs import is_epoch_based
from ..compose.scale import reference_scale
from ..data.scan import read_size
from ..engine.cost import PeakMemory
from ..engine.timing import each_call, wait_for_gpu
from ..registry import HOOKS

_LARGEST = 5  # batches
_WARM_UP, _STEPS, _PREDICTIONS = 2, 5, 4
_TIMED, _TIMED_SECONDS = 20, 1.0  # single images for the latency: at least, and until these are over
CGROUP = Path("/sys/fs/cgroup")  # of version 2


class ProbedError(Exception):
    """A probe has come to its end; ``args`` has the forecast, see :attr:`.records.Record.forecast`."""


@HOOKS.register_module()
class ProbeHook(Hook):
    """Trains on the largest batches and a few usual ones, predicts a few, and ends the training.

    Args:
        began: when the training was asked for, of ``time.monotonic``; None for now.

    Raises:
        ProbedError: the forecast.
        MemoryError: the largest batch would not fit; how many MiB are missing. Parts of it are tried first,
            so that the machine does not run out of memory; a batch is never made smaller.
    """

    priority = "LOWEST"

    def __init__(self, began: float | None = None) -> None:
        self._began = time.monotonic() if began is None else began
        self._ends: list[float] = []

    def before_train(self, runner: Any) -> None:
        self._start_up = time.monotonic() - self._began
        cuda = next(runner.network.parameters()).is_cuda
        free = free_mib(cuda)
        self._memory = PeakMemory(cuda)
        batches = largest_batches(runner.train_dataloader, reference_scale(runner.cfg))
        images = len(batches[0]["inputs"])
        grown: dict[int, float] = {}
        for part in (images // 4, images // 2) if images >= 8 else ():
            self._step(runner, _part(batches[0], part))
            grown[part] = self._memory.so_far()
        check_fits(grown, images, free)
        for batch in batches:
            self._step(runner, batch)
        self._ends = [time.monotonic()]

    def _step(self, runner: Any, batch: Any) -> None:
        runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
        wait_for_gpu()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        wait_for_gpu()
        self._ends.append(time.monotonic())
        if len(self._ends) > _WARM_UP + _STEPS or runner.iter + 1 >= runner.max_iters:
            raise ProbedError(self._forecast(runner))

    def _forecast(self, runner: Any) -> dict[str, float]:
        steps = [after - before for before, after in zip(self._ends, self._ends[1:], strict=False)]
        loop, by_epoch = runner.train_loop, is_epoch_based(runner.cfg)
        rounds = loop.max_epochs if by_epoch else loop.max_iters
        seconds = self._start_up + of_steps(steps, runner.max_iters, rounds if by_epoch else 1)
        seconds += -(-rounds // saved_every(runner)) * _saving(runner)
        found: dict[str, float] = {"params": sum(param.numel() for param in runner.network.parameters())}
        if runner.val_loop is not None:
            seconds += -(-rounds // loop.val_interval) * self._evaluation(runner)
        self._memory.stop()
        if runner.val_loop is not None:
            found["latency_ms"] = round(1e3 * self._latency(runner), 3)
        return {"seconds": round(seconds, 1), "memory_mib": round(self._memory.peak or 0.0, 1), **found}

    @torch.no_grad()
    def _latency(self, runner: Any) -> float:
        """Seconds for one image of an evaluation, the median, as a board measures it at its end."""
        network = runner.network.eval()
        batch = pseudo_collate([runner.val_dataloader.dataset[0]])
        return median(each_call(lambda: network.test_step(batch), _TIMED, _WARM_UP, _TIMED_SECONDS))

    @torch.no_grad()
    def _evaluation(self, runner: Any) -> float:
        """Seconds of an evaluation without its scoring, by a few of its batches."""
        runner.model.eval()
        ends = [time.monotonic()]
        for batch, _ in zip(runner.val_dataloader, range(_PREDICTIONS), strict=False):
            runner.model.val_step(batch)
            ends.append(time.monotonic())
        taken = [after - before for before, after in zip(ends, ends[1:], strict=False)]
        return of_predictions(taken, len(runner.val_dataloader))


def of_steps(first: Sequence[float], count: int, openings: int) -> float:
    """Seconds of ``count`` steps by the ``first`` few; the very first waits for the workers.

    Those of the loader start anew ``openings`` times, once an epoch.
    """
    each = median(first[_WARM_UP:] or first)
    return count * each + openings * max(0.0, first[0] - each)


def of_predictions(first: Sequence[float], count: int) -> float:
    """Seconds of ``count`` batches by the ``first`` few, of which the very first waits for the workers."""
    each = median(first[1:] or first)
    return max(first[0], each) + (count - 1) * each


def check_fits(grown: dict[int, float], images: int, free: float) -> None:
    """Check that a whole batch fits, by how parts of it do.

    Args:
        grown: MiB that steps on so many images have taken; fewer than two say nothing.
        images: of a whole batch.
        free: MiB that there were before.

    Raises:
        MemoryError: it does not; the message has the missing MiB.
    """
    if len(grown) < 2:
        return
    (few, less), (many, more) = sorted(grown.items())
    needed = more + (more - less) / (many - few) * (images - many)
    if needed > free:
        raise MemoryError(
            f"A batch of {images} images would need {needed:,.0f} MiB and {free:,.0f} are free: "
            f"{needed - free:,.0f} MiB are missing."
        )


def free_mib(cuda: bool) -> float:
    """MiB that this process can still take: of the GPU, or of the machine and what a container may use."""
    if cuda:
        free, _ = torch.cuda.mem_get_info()
        return (free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()) / 2**20
    import psutil

    bounds = [psutil.virtual_memory().available]
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and (most := limit.read_text().strip()).isdigit():
        bounds.append(int(most) - int(used.read_text()))
    return float(min(bounds)) / 2**20


def largest_batches(loader: Any, scale: tuple[int, int] | None) -> list[Any]:
    """Up to five batches of the images that are largest when they have been resized, the largest first."""
    dataset, size = loader.dataset, loader.batch_sampler.batch_size if loader.batch_sampler else 1
    areas = [_area(dataset, index, scale) for index in range(len(dataset))]
    order = sorted(range(len(dataset)), key=lambda index: -areas[index])
    count = min(_LARGEST, max(1, len(order) // size))
    wanted = order[: count * size]
    while len(wanted) < count * size:
        wanted += order[: count * size - len(wanted)]  # fewer images than a batch has
    packed = sorted((dataset[index] for index in wanted), key=lambda one: -one["inputs"].numel())
    return [loader.collate_fn(packed[start : start + size]) for start in range(0, len(packed), size)]


def _area(dataset: Any, index: int, scale: tuple[int, int] | None) -> float:
    """Pixels of an image as it is resized into ``scale`` (width, height), keeping its ratio."""
    info = dataset.get_data_info(index)
    if not info.get("width") or not info.get("height"):
        wide, high, *_ = read_size(Path(info["img_path"]))
        info = {"width": wide, "height": high}
    wide, high = info["width"], info["height"]
    if scale is None:
        return float(wide * high)
    factor = min(max(scale) / max(wide, high), min(scale) / min(wide, high))
    return float(wide * high * factor**2)


def _part(batch: dict[str, Sequence[Any]], count: int) -> dict[str, Any]:
    return {name: values[:count] for name, values in batch.items()}


def saved_every(runner: Any) -> int:
    """Epochs or iterations, as the loop counts them, between two checkpoints; a whole run without any."""
    hooks = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook) and hook.interval > 0)
    return int(next((hook.interval for hook in hooks), runner.max_iters))


def _saving(runner: Any) -> float:
    """Seconds that writing a checkpoint takes."""
    began = time.monotonic()
    with TemporaryDirectory(dir=runner.work_dir) as folder:
        runner.save_checkpoint(folder, "probe.pth")
    return time.monotonic() - began
