"""What a checkpoint may hold beside tensors and plain data; all else in a file is refused."""

from __future__ import annotations

import codecs
import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def mmengine_classes() -> list[Any]:
    """The classes and rebuilding functions that mmengine's checkpoints hold beside tensors and plain data.

    ``HistoryBuffer`` of the message hub, and the numpy arrays and scalars inside it, in data-set meta
    and among best scores. Pickle also names ``builtins.getattr``, to find ``HistoryBuffer``'s own four
    statistics; in its place stands a function that finds nothing else.
    """
    from mmengine.logging import HistoryBuffer

    statistics = {name: getattr(HistoryBuffer, name) for name in ("min", "max", "current", "mean")}

    def statistic(owner: Any, name: str) -> Any:
        if owner is not HistoryBuffer or name not in statistics:
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL getattr({owner!r}, {name!r})")
        return statistics[name]

    core = np.core.multiarray if np.__version__ < "2" else np._core.multiarray  # type: ignore[attr-defined]
    scalars = (np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_)
    dtypes = sorted({type(np.dtype(scalar)) for scalar in scalars}, key=str)
    # Files written under numpy 1 say numpy.core, under numpy 2 numpy._core.
    rebuild = [
        _named(function, f"{module}.{function.__name__}")
        for function in (core._reconstruct, core.scalar)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    ]
    # Python writes bytes, as of numpy's scalars, by codecs.encode; newer torch than 2.4 allows it by itself.
    plain = [HistoryBuffer, np.ndarray, np.dtype, codecs.encode]
    return [*plain, *dtypes, *rebuild, _named(statistic, "builtins.getattr")]


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """``function`` under the full ``name`` by which torch looks up what a file asks for."""

    def call(*args: Any) -> Any:
        return function(*args)

    call.__module__, _, call.__qualname__ = name.rpartition(".")
    call.__name__ = call.__qualname__
    return call


@functools.cache
def allow_mmengine_classes() -> None:
    """Let torch >= 2.6 read mmengine's checkpoints with ``weights_only`` on; a second call does nothing."""
    torch.serialization.add_safe_globals(mmengine_classes())
