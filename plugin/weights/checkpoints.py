"""Checkpoints of whole models: only into the model they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import InputError
from .files import read_checkpoint, state_dict_of
from .layers import NO_WEIGHT
from .loading import LEAST_MATCH, check_style, check_twin
from .openmmlab import apart

#: Where OpenMMLab's backbones hold the norms of their maps: Swin and others, mmseg's Twins, mmpretrain's.
NORM_OF_MAP = r"norm\d|norm_list\.\d|norm_after_stage\d"


def by_our_names(model: nn.Module, content: Mapping[str, Any], source: str | Path) -> dict[str, Tensor]:
    """The weights of a checkpoint for ``model``; those of a backbone of OpenMMLab by the names of ours.

    Necks and heads are OpenMMLab's own classes and keep their names, but for the norms of the maps, which
    OpenMMLab's backbones hold and a neck holds here, and for what then is the second neck.

    Raises:
        InputError: the file has a backbone of another network.
    """
    state = state_dict_of(content, source)
    for path, backbone in _backbones(model):
        start = f"{path}."
        inside = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
        if not inside:
            continue
        check_style(backbone, content, str(source))
        check_twin(inside, source)
        own, known = backbone.state_dict(), backbone.upstream_shapes
        reason = ""
        if own.keys() - inside.keys():
            try:
                renamed = backbone.rename(inside)
            except InputError as error:
                reason = str(error)
            else:
                given = {name: own[name] for name in own if NO_WEIGHT.search(name)} | renamed.named
                named = {f"{start}{name}": value for name, value in given.items() if name in own}
                state = named | dict(_around(model, state, renamed.beyond, start))
                continue
        fits = [name for name, value in inside.items() if known.get(name) == tuple(value.shape)]
        if len(fits) < LEAST_MATCH * len(inside):
            odd = next(name for name in inside if name not in fits)
            lacking = [name for name in own if name not in inside and not NO_WEIGHT.search(name)]
            more = [name for name in inside if name not in known]
            reason = reason or apart(lacking, more) or "its shapes are others"
            raise InputError(
                f"{source} is of another model than the config: of its backbone's {len(inside)} weights "
                f"{len(fits)} fit, {start}{odd} does not: {reason}. Name that backbone in the config, or "
                f"take the checkpoint's own config."
            )
    return state


def _backbones(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Paths and modules that read another library's names."""
    return ((path, part) for path, part in model.named_modules() if hasattr(part, "rename"))


def _around(
    model: nn.Module, state: Mapping[str, Tensor], beyond: Mapping[str, Tensor], backbone: str
) -> Iterator[tuple[str, Tensor]]:
    """What is not of the backbone, and its norms of the maps for the neck that holds them here."""
    holders = (path for path, part in model.named_modules() if hasattr(part, "norms_of_backbone"))
    path = next(holders, "")
    head, _, place = path.rpartition(".")
    for name, value in state.items():
        if name.startswith(backbone):
            continue
        if place.isdigit() and name.startswith(f"{head}.") and not re.match(rf"{head}\.\d", name):
            yield f"{head}.{int(place) + 1}.{name.removeprefix(f'{head}.')}", value  # behind the norms
        else:
            yield name, value
    norms = [name for name in beyond if re.fullmatch(NORM_OF_MAP, name.rpartition(".")[0])]
    places = sorted({name.rpartition(".")[0] for name in norms})
    for name in norms:
        norm, _, role = name.rpartition(".")
        if path:
            yield f"{path}.norms.{places.index(norm)}.{role}", beyond[name]
    for name, value in beyond.items():
        if not path or name not in norms:
            yield f"{backbone}{name}", value


def norms_of_maps(state: Mapping[str, Tensor], template: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    """Each norm of the maps in ``template``, of a backbone of OpenMMLab, from a file of ours or of theirs.

    A neck holds them in ours, by the maps that it gets; of one width there is one. None: it has none.
    """
    held = {name: value for name, value in state.items() if re.search(r"neck\.(\d\.)?norms\.\d+\.\w+$", name)}
    found: dict[str, Tensor | None] = {}
    for name, value in template.items():
        path, _, role = name.rpartition(".")
        if not re.fullmatch(NORM_OF_MAP, path):
            continue
        ours = [one for key, one in held.items() if key.endswith(f".{role}") and one.shape == value.shape]
        found[name] = state.get(f"backbone.{name}", state.get(name, ours[0] if len(ours) == 1 else None))
    return found


def check_fits(model: nn.Module, checkpoint: Mapping[str, Any], path: str | Path) -> None:
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
            f"(the model has {len(own)} entries). {_what_helps(path, missing + unexpected)}"
        )


def _what_helps(path: str | Path, names: Sequence[str]) -> str:
    """The next step for a checkpoint that does not fit, of which ``names`` are missing or unknown."""
    if Path(path).with_name("config.py").is_file():
        return "Use the config.py beside the checkpoint."
    if not names:
        return (
            f"Name a config with as many classes as it has, or train from it, which leaves its head out: "
            f"`mmbackbones train` with --cfg-options load_from={path}."
        )
    return (
        "Name the config that it was trained with; a published file is called after its own, so that "
        "faster_rcnn_r50_fpn_1x_coco_2020....pth is of mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco, as it "
        "is or swapped to that same backbone."
    )


def differences(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """Names that ``given`` lacks, names that ``own`` does not have, and names of tensors of another shape."""
    missing = [key for key in own if key not in given]
    unexpected = [key for key in given if key not in own]
    other = [key for key in own if key in given and given[key].shape != own[key].shape]
    return missing, unexpected, other


def load_model(model: nn.Module, path: str | Path) -> dict[str, Any]:
    """Read a checkpoint and put its weights into ``model``; returns the checkpoint's ``meta``.

    Raises:
        InputError: unreadable, or of another model.
    """
    checkpoint = read_checkpoint(path)
    state = by_our_names(model, checkpoint, path)
    check_fits(model, {"state_dict": state}, path)
    model.load_state_dict(state)
    meta = checkpoint.get("meta") or {}
    return dict(meta) if isinstance(meta, Mapping) else {}
