"""Checkpoints in, from files, addresses and other libraries' schemes: only data, never code.

Every reader of the package is :func:`read_data`, and once :func:`read_for_mmengine` was called mmengine's
readers are too: ``load_from``, ``init_cfg`` of any module, mmdet's and mmseg's own classes.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from ..errors import InputError
from .safe_classes import allow_mmengine_classes

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
        return _read_file(Path(source).expanduser(), str(source), map_location)
    scheme = scheme.rpartition(":")[2]  # mmengine has "open-mmlab:s3://"
    if scheme not in _SCHEMES:
        raise InputError(
            f"checkpoint '{source}': unknown scheme '{scheme}://'. "
            f"Allowed: {', '.join(f'{known}://' for known in _SCHEMES)}, or a file's path."
        )
    try:
        return _SCHEMES[scheme](str(source), rest, map_location)
    except (OSError, http.client.HTTPException) as error:  # of urllib, requests and huggingface_hub alike
        raise InputError(_out_of_reach(str(source), error)) from error


def _out_of_reach(source: str, error: Exception) -> str:
    return (
        f"The weights {source} cannot be fetched: {error}. Connect to the network, or fetch them elsewhere "
        f"and name the file, as model.backbone.init_cfg.checkpoint=FILE; `mmbackbones train --no-pretrained` "
        f"starts from random weights."
    )


def _read_file(path: Path, source: str, map_location: Any) -> Any:
    if not path.is_file():
        raise InputError(
            f"There is no checkpoint file {source}. Give one that exists, or timm://<name>.<tag>."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return _load(path, map_location)
    except Exception as error:  # bytes at random make torch's reader raise whatever they hit
        raise InputError(_refusal(source, error)) from error


def _load(file: Path | io.BytesIO, map_location: Any) -> Any:
    allow_mmengine_classes()
    return torch.load(file, map_location=map_location, weights_only=True)


def _refusal(source: str, error: Exception) -> str:
    """What to say of a checkpoint that cannot be read; torch's advice to allow code is left out."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    code = [line.split(" was not an allowed")[0] for line in lines if "GLOBAL" in line or "global" in line]
    if isinstance(error, pickle.UnpicklingError) and code:
        return (
            f"Checkpoint {source} is refused: it holds more than data, and loading that would run code "
            f"({code[0]}). If you trust its origin, save its `state_dict` alone to a new file."
        )
    return f"Checkpoint {source} is damaged or no checkpoint: {lines[0]}"


# -- addresses ------------------------------------------------------------------------------------


def _read_address(address: str, rest: str, map_location: Any) -> Any:
    file = fetched(address)
    try:
        return _read_file(file, address, map_location)
    except InputError:
        file.unlink(missing_ok=True)  # what cannot be read is not kept: the next try fetches it anew
        raise


def fetched(address: str) -> Path:
    """The file behind an ``http(s)://`` address, from torch's cache if this very address was fetched before.

    Raises:
        InputError: it cannot be fetched.
    """
    name = Path(urlparse(address).path).name[-80:] or "checkpoint.pth"
    folder = Path(torch.hub.get_dir()) / "checkpoints" / "mmbackbones"
    path = folder / f"{hashlib.sha256(address.encode()).hexdigest()[:20]}-{name}"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), progress=sys.stderr.isatty())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise InputError(_out_of_reach(address, error)) from error
    return path


# -- other libraries' schemes ---------------------------------------------------------------------


def _read_timm(source: str, name: str, map_location: Any) -> Any:
    import timm

    return timm.create_model(name, pretrained=True).state_dict()


def _read_torchvision(source: str, name: str, map_location: Any) -> Any:
    """``resnet50`` or ``resnet50.IMAGENET1K_V2``; without a tag V1, as mmengine has it."""
    from torchvision import models

    model, _, tag = name.partition(".")
    try:
        entries = models.get_model_weights(model)
        entry = entries[tag or "IMAGENET1K_V1"]
    except (ValueError, KeyError) as error:
        raise InputError(
            f"torchvision has no weights '{name}'. Write torchvision://<model>[.<tag>], "
            f"e.g. torchvision://resnet50.IMAGENET1K_V2."
        ) from error
    return dict(entry.get_state_dict(check_hash=True, weights_only=True))


def _read_openmmlab(source: str, name: str, map_location: Any) -> Any:
    from mmengine.runner import checkpoint as mmengine

    name = mmengine.get_deprecated_model_names().get(name, name)
    known = mmengine.get_external_models()
    place = _place(source, name, known)
    if place.startswith(("http://", "https://")):
        return _read_address(place, "", map_location)
    return _read_file(Path(mmengine._get_mmengine_home()) / place, source, map_location)


def _read_mmcls(source: str, name: str, map_location: Any) -> Any:
    from mmengine.runner import checkpoint as mmengine

    content = _read_address(_place(source, name, mmengine.get_mmcls_models()), "", map_location)
    return mmengine._process_mmcls_checkpoint(content)


def _place(source: str, name: str, known: Mapping[str, str]) -> str:
    if name not in known:
        from ..errors import nearest

        near = ", ".join(nearest(name, known)) or "none"
        raise InputError(f"checkpoint '{source}': mmengine knows no '{name}'. Nearest: {near}.")
    return known[name]


def _read_store(source: str, rest: str, map_location: Any) -> Any:
    from mmengine.fileio import get_file_backend

    try:
        content = get_file_backend(source, backend_args={"backend": "petrel"}).get(source)
    except Exception as error:  # of a client that may be absent, or of anybody's store
        raise InputError(_out_of_reach(source, error)) from error
    try:
        return _load(io.BytesIO(content), map_location)
    except Exception as error:  # see _read_file
        raise InputError(_refusal(source, error)) from error


#: Reader of each scheme: takes the whole source, what follows ``://``, and ``map_location``.
_SCHEMES: dict[str, Callable[[str, str, Any], Any]] = {
    "timm": _read_timm,
    "torchvision": _read_torchvision,
    "modelzoo": _read_torchvision,
    "http": _read_address,
    "https": _read_address,
    "open-mmlab": _read_openmmlab,
    "openmmlab": _read_openmmlab,
    "mmcls": _read_mmcls,
    "s3": _read_store,
    "petrel": _read_store,
}


# -- mmengine -------------------------------------------------------------------------------------


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
