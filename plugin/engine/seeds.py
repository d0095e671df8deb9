"""Random numbers by the position in a training: a resumed one draws what an undisturbed one does."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook

from ..registry import HOOKS


@HOOKS.register_module()
class SeedHook(Hook):
    """Seeds Python's, numpy's and torch's generators anew at each epoch and each iteration of a training.

    From the seed of the run, the process and the position: drop-out, stochastic depth, the sampling of
    proposals, and the augmentation where the main process loads the images (``num_workers=0``) in an
    epoch-based training. Loader workers have generators of their own: those of mmengine start alike in each
    epoch, but persistent ones (``persistent_workers=True``) go on, so after a resume they augment otherwise.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Any) -> None:
        _seed(runner, 0, runner.epoch)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        _seed(runner, 1, runner.iter)


def _seed(runner: Any, stream: int, position: int) -> None:
    number = int(np.random.SeedSequence([runner.seed, runner.rank, stream, position]).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
