"""What a file holds, if it is data: nothing in it is executed."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from .safe_classes import allow_mmengine_classes


def read_file(path: Path, source: str, map_location: Any) -> Any:
    """What is in a file, ``.safetensors`` or as torch writes it.

    Args:
        path: The file.
        source: How messages call it: what the user named.
        map_location: As ``torch.load`` has it.

    Raises:
        InputError: no such file, damaged, or more than data.
    """
    if not path.is_file():
        raise InputError(
            f"There is no checkpoint file {source}. Give one that exists, or timm://<name>.<tag>."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return load_data(path, map_location)
    except Exception as error:  # bytes at random make torch's reader raise whatever they hit
        raise InputError(refusal(source, error)) from error


def load_data(file: Path | io.BytesIO, map_location: Any) -> Any:
    """As ``torch.load`` with ``weights_only``; allows what mmengine's checkpoints hold beside tensors."""
    allow_mmengine_classes()
    return torch.load(file, map_location=map_location, weights_only=True)


def refusal(source: str, error: Exception) -> str:
    """What to say of a checkpoint that cannot be read; torch's advice to allow code is left out."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    code = [line.split(" was not an allowed")[0] for line in lines if "GLOBAL" in line or "global" in line]
    if isinstance(error, pickle.UnpicklingError) and code:
        return (
            f"Checkpoint {source} is refused: it holds more than data, and loading that would run code "
            f"({code[0]}). If you trust its origin, save its `state_dict` alone to a new file."
        )
    return f"Checkpoint {source} is damaged or no checkpoint: {lines[0]}"


def out_of_reach(source: str, error: Exception) -> str:
    """What to say of weights that cannot be fetched."""
    return (
        f"The weights {source} cannot be fetched: {error}. Connect to the network, or fetch them elsewhere "
        f"and name the file, as model.backbone.init_cfg.checkpoint=FILE; `mmbackbones train --no-pretrained` "
        f"starts from random weights."
    )
