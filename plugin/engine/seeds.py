"""Random numbers by the position in a training: a resumed one draws what an undisturbed one does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

from ..registry import HOOKS


@HOOKS.register_module()
class SeedHook(Hook):
    """Seeds Python's, numpy's and torch's generators anew at each epoch and each iteration of a training.

    From the seed of the run, the process and the position: drop-out, stochastic depth, the sampling of
    proposals, and the augmentation where the main process loads the images (``num_workers=0``). Loader
    workers have generators of their own: those of mmengine start alike in each epoch, but persistent ones
    (``persistent_workers=True``) go on, so after a resume they augment otherwise.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Any) -> None:
        _seed(runner, 0, runner.epoch)
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop) and not runner.train_dataloader.num_workers:
            loop.dataloader_iterator = _Batches(loop.dataloader_iterator, runner)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        _seed(runner, 1, runner.iter)


class _Batches:
    """Batches of an iteration-based training, each loaded with random numbers of its own.

    A resumed one reads past those that were trained on, without the steps that came between them.
    """

    def __init__(self, batches: Iterator[Any], runner: Any) -> None:
        self._batches, self._runner, self._position = batches, runner, 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        _seed(self._runner, 2, self._position)
        self._position += 1
        return next(self._batches)


def _seed(runner: Any, stream: int, position: int) -> None:
    number = int(np.random.SeedSequence([runner.seed, runner.rank, stream, position]).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
