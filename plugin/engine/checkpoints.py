"""Safe reading of checkpoints: only data, never code, and only into the model they belong to."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError


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
    return [HistoryBuffer, np.ndarray, np.dtype, *dtypes, *rebuild, _named(statistic, "builtins.getattr")]


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


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint file, tensors on the CPU; nothing in the file is executed.

    Raises:
        InputError: the file is missing, damaged, holds anything but data, or is no checkpoint.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"There is no checkpoint file {path}.")
    allow_mmengine_classes()
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "GLOBAL" in str(error):
            raise InputError(
                f"Checkpoint {path} is refused: it holds more than data, and loading that would run code "
                f"({_first_line(error)}). If you trust its origin, save its `state_dict` alone to a new file."
            ) from error
        raise InputError(f"Checkpoint {path} cannot be read: {_first_line(error)}") from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise InputError(f"Checkpoint {path} is damaged or no checkpoint: {_first_line(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"Checkpoint {path} holds a {type(content).__name__}, not a dict of tensors.")
    return content


def state_dict_of(checkpoint: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, without the ``module.`` that parallel wrappers put before names."""
    state = checkpoint.get("state_dict", checkpoint)
    return {key.removeprefix("module."): value for key, value in state.items()}


def check_fits(model: torch.nn.Module, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that a checkpoint's weights are those of ``model``: every name, every shape.

    Raises:
        InputError: something is missing, left over or of another shape; the message gives examples.
    """
    own, given = model.state_dict(), state_dict_of(checkpoint)
    missing = [key for key in own if key not in given]
    unexpected = [key for key in given if key not in own]
    shapes = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    problems = [
        f"{len(names)} {what}, such as {', '.join(names[:2])}"
        for what, names in (("missing", missing), ("unknown", unexpected), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise InputError(
            f"Checkpoint {path} is of another model than the config: {'; '.join(problems)} "
            f"(the model has {len(own)} entries). Use the config.py beside the checkpoint."
        )


def load_into(model: torch.nn.Module, path: str | Path) -> dict[str, Any]:
    """Read a checkpoint and put its weights into ``model``; returns the checkpoint's ``meta``.

    Raises:
        InputError: unreadable, or of another model.
    """
    checkpoint = read_checkpoint(path)
    check_fits(model, checkpoint, path)
    model.load_state_dict(state_dict_of(checkpoint))
    meta = checkpoint.get("meta") or {}
    return dict(meta) if isinstance(meta, Mapping) else {}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in lines:
        if "Unsupported global" in line or "GLOBAL" in line:
            return line.split(" was not an allowed")[0]
    return lines[0] if lines else type(error).__name__
