"""Checkpoints of whole models: only into the model they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from .files import read_checkpoint, state_dict_of


def check_fits(model: torch.nn.Module, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that a checkpoint's weights are those of ``model``: every name, every shape.

    Raises:
        InputError: something is missing, left over or of another shape; the message gives examples.
    """
    own, given = model.state_dict(), state_dict_of(checkpoint)
    missing, unexpected, other = differences(own, given)
    shapes = [f"{key} {tuple(given[key].shape)} instead of {tuple(own[key].shape)}" for key in other]
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


def differences(
    own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """Names that ``given`` lacks, names that ``own`` does not have, and names of tensors of another shape."""
    missing = [key for key in own if key not in given]
    unexpected = [key for key in given if key not in own]
    other = [key for key in own if key in given and given[key].shape != own[key].shape]
    return missing, unexpected, other


def load_model(model: torch.nn.Module, path: str | Path) -> dict[str, Any]:
    """Read a checkpoint and put its weights into ``model``; returns the checkpoint's ``meta``.

    Raises:
        InputError: unreadable, or of another model.
    """
    checkpoint = read_checkpoint(path)
    check_fits(model, checkpoint, path)
    model.load_state_dict(state_dict_of(checkpoint))
    meta = checkpoint.get("meta") or {}
    return dict(meta) if isinstance(meta, Mapping) else {}
