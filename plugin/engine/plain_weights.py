"""Checkpoints to use a model with: weights and plain metadata, which every reader takes without allowance."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..weights.checkpoints import read_checkpoint, state_dict_of


def save_plain(source: Path, target: Path) -> None:
    """Write the weights of the checkpoint ``source`` to ``target``, which has its name only when complete.

    mmengine's message hub holds classes that torch reads with ``weights_only`` by allowance alone, so mmdet's
    and mmseg's inferencers refuse what it is in. That, and the optimizer's state, is of a training only and
    stays in ``source``. The two may be the same file.

    Raises:
        InputError: ``source`` cannot be read.
    """
    content = read_checkpoint(source)
    part = target.with_name(f"{target.name}.part")
    torch.save({"meta": _plain(content.get("meta") or {}), "state_dict": state_dict_of(content)}, part)
    os.replace(part, target)


def _plain(value: Any) -> Any:
    """``value`` with Python's own types in the place of all others: numpy's numbers and arrays, configs."""
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if value is None or isinstance(value, torch.Tensor):
        return value
    for own in (bool, int, float, str):
        if isinstance(value, own):
            return own(value)
    return str(value)
