"""Checkpoints in, from files, addresses and other libraries' schemes: only data, never code.

Every reader of the package is :func:`read_data`, and once :func:`read_for_mmengine` was called mmengine's
readers are too: ``load_from``, ``init_cfg`` of any module, mmdet's and mmseg's own classes.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from .data import out_of_reach, read_file
from .schemes import SCHEMES

#: What checkpoints call the mapping of weights that they hold beside other things.
WRAPPERS = ("state_dict", "model")


def read_checkpoint(source: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, tensors on the CPU; nothing in it is executed.

    Args:
        source: a file, or an address as :func:`read_data` takes it.

    Raises:
        InputError: missing, damaged, more than data, or without weights.
    """
    content = read_data(source)
    if not isinstance(content, dict):
        raise InputError(f"Checkpoint {source} holds a {type(content).__name__}, not a dict of tensors.")
    state_dict_of(content, source)
    return content


def state_dict_of(content: Mapping[str, Any], source: str | Path = "") -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, at its top or under one of :data:`WRAPPERS`, without ``module.``.

    Raises:
        InputError: there are none.
    """
    inner = _unwrapped(content)
    state = {name.removeprefix("module."): v for name, v in inner.items() if isinstance(v, torch.Tensor)}
    if not state:
        odd = [f"'{key}' is a {type(content[key]).__name__}" for key in WRAPPERS if key in content]
        raise InputError(
            f"Checkpoint {source} holds no tensors under 'state_dict', 'model' or at its top"
            f"{': ' if odd else ''}{', '.join(odd)}. Is it a file of weights?"
        )
    return state


def _unwrapped(content: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
    return content if inner is None else _unwrapped(inner)


def read_data(source: str | Path, map_location: Any = "cpu") -> Any:
    """What is in a file or behind an address, whatever it is, if it is data.

    Args:
        source: A file (``.pth``, ``.safetensors``), or ``http(s)://``, ``timm://name.tag``,
            ``torchvision://name.TAG``, and mmengine's ``open-mmlab://``, ``mmcls://``, ``s3://``.
        map_location: as ``torch.load`` has it.

    Raises:
        InputError: unknown scheme, no such file, out of reach, damaged, or more than data.
    """
    scheme, separator, rest = str(source).partition("://")
    if not separator:
        return read_file(Path(source).expanduser(), str(source), map_location)
    scheme = scheme.rpartition(":")[2]  # mmengine has "open-mmlab:s3://"
    if scheme not in SCHEMES:
        raise InputError(
            f"checkpoint '{source}': unknown scheme '{scheme}://'. "
            f"Allowed: {', '.join(f'{known}://' for known in SCHEMES)}, or a file's path."
        )
    try:
        return SCHEMES[scheme](str(source), rest, map_location)
    except (OSError, http.client.HTTPException) as error:  # of urllib, requests and huggingface_hub alike
        raise InputError(out_of_reach(str(source), error)) from error


def read_for_mmengine() -> None:
    """Put :func:`read_data` in the place of all of mmengine's readers; a second call changes nothing.

    mmengine's own open what an address gives without ``weights_only``, and files too before torch 2.6.
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    for prefix in list(CheckpointLoader._schemes):
        CheckpointLoader.register_scheme(prefix, loader=load_from_mmbackbones, force=True)


def load_from_mmbackbones(filename: str, map_location: Any = None) -> Any:
    """A reader as mmengine calls it; weights under ``model`` are under ``state_dict`` too.

    Raises:
        InputError: as :func:`read_data`, or a dict of a training without weights.
    """
    content = read_data(filename, map_location)
    if isinstance(content, dict) and any(key in content for key in WRAPPERS):
        state_dict_of(content, filename)
        return {**content, "state_dict": _unwrapped(content)}
    return content
