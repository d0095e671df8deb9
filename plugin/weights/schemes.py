"""Weights behind an address: of the web, of timm and torchvision, of mmengine's lists and stores."""

from __future__ import annotations

import hashlib
import http.client
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from ..errors import InputError, nearest
from .data import load_data, out_of_reach, read_file, refusal


def _read_address(address: str, rest: str, map_location: Any) -> Any:
    file = fetched(address)
    try:
        return read_file(file, address, map_location)
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
            raise InputError(out_of_reach(address, error)) from error
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
    return read_file(Path(mmengine._get_mmengine_home()) / place, source, map_location)


def _read_mmcls(source: str, name: str, map_location: Any) -> Any:
    from mmengine.runner import checkpoint as mmengine

    content = _read_address(_place(source, name, mmengine.get_mmcls_models()), "", map_location)
    return mmengine._process_mmcls_checkpoint(content)


def _place(source: str, name: str, known: Mapping[str, str]) -> str:
    if name not in known:
        near = ", ".join(nearest(name, known)) or "none"
        raise InputError(f"checkpoint '{source}': mmengine knows no '{name}'. Nearest: {near}.")
    return known[name]


def _read_store(source: str, rest: str, map_location: Any) -> Any:
    from mmengine.fileio import get_file_backend

    try:
        content = get_file_backend(source, backend_args={"backend": "petrel"}).get(source)
    except Exception as error:  # of a client that may be absent, or of anybody's store
        raise InputError(out_of_reach(source, error)) from error
    try:
        return load_data(io.BytesIO(content), map_location)
    except Exception as error:  # see read_file
        raise InputError(refusal(source, error)) from error


#: Reader of each scheme: takes the whole source, what follows ``://``, and ``map_location``.
SCHEMES: dict[str, Callable[[str, str, Any], Any]] = {
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
