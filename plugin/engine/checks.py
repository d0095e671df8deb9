"""What would stop a model in the middle of a training, said before: maps and classes that do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Any

import torch
from mmengine.config import Config
from torch.nn import Identity
from torch.nn.modules.batchnorm import _BatchNorm

from ..compose.configs import kind, pipelines, walk
from ..errors import InputError

_PARTS = ("train", "val", "test")


def check_heads(model: Mapping[str, Any]) -> None:
    """Check that each head of a segmenter's config picks as many maps as it knows channels of, and that
    CrowdDet's knows one class.

    Raises:
        InputError: ``in_channels`` and ``in_index`` of a head contradict each other; more classes.
    """
    for _, node in walk(model):
        count = node.get("num_classes", 80)
        if kind(node) == "MultiInstanceBBoxHead" and count != 1:
            raise InputError(
                f"CrowdDet's head (MultiInstanceBBoxHead) tells one class from the background, and is to "
                f"tell {count}. Take another detector, or train it on one class (--classes NAME) of images "
                f"with two objects or more."
            )
    for where, head in _heads(model):
        channels, index = head.get("in_channels"), head.get("in_index")
        if channels is not None and index is not None and _length(channels) != _length(index):
            raise InputError(
                f"{where} ({head.get('type')}) has in_channels={channels} and in_index={index}: write one "
                f"number in each for a head that reads one map, or lists of the same length, an index and "
                f"the channels of each map."
            )


def check_label_bits(cfg: Config) -> None:
    """Check that the labels that a segmenter's config loads can hold all its classes.

    Raises:
        InputError: mmseg's loader, which keeps 8 bits of each value, is to read more than 256 classes.
    """
    for where, head in _heads(cfg.model):
        loads = any(kind(step) == "LoadAnnotations" for steps in pipelines(cfg, *_PARTS) for step in steps)
        if loads and head.get("num_classes", 0) > 256:
            raise InputError(
                f"{where} ({head.get('type')}) has num_classes={head['num_classes']}, but LoadAnnotations "
                f"keeps 8 bits of each label value: 256 would become 0, silently. Have at most 255 classes "
                f"(255 means 'ignore'), or register a transform that loads wider labels under another name."
            )


def check_channels(model: Mapping[str, Any], network: Any) -> None:
    """Check that the heads of a segmenter read maps that its backbone or its neck gives, where that is known.

    Args:
        model: the ``model`` of the config.
        network: what was built of it.

    Raises:
        InputError: a head asks for a map that is not there, or of other channels.
    """
    maps, given = _arriving(network)
    for where, head in _heads(model) if given else ():
        wanted, named = head.get("in_channels"), f"{where} ({head.get('type')})"
        if wanted is None:
            continue
        index = getattr(network.get_submodule(where), "in_index", None)
        picked = _listed(index) if index is not None else list(range(len(_listed(wanted))))
        if lacking := [i for i in picked if not -len(given) <= i < len(given)]:
            raise InputError(
                f"{named} reads the maps in_index={index if index is not None else picked}. {maps}: there is "
                f"no map {lacking[0]}. Write other indices, from 0 on, or ask the backbone for more maps, as "
                f"out_strides=(2, 4, 8, 16, 32) where it has them (`mmbackbones info`)."
            )
        found = [given[i] for i in picked]
        if found != _listed(wanted):
            right = found if isinstance(wanted, Sequence) else found[0]
            raise InputError(
                f"{named} has in_channels={wanted}, but what it reads has {right}. {maps}: write "
                f"in_channels={right}, or choose other maps by in_index."
            )
        fine = head.get("c1_in_channels")  # DeepLabV3+'s second input is always the finest map
        if fine and fine != given[0]:
            raise InputError(f"{named} has c1_in_channels={fine}. {maps}: write c1_in_channels={given[0]}.")


def check_sync_bn(how: str | None, network: torch.nn.Module) -> None:
    """Check mmengine's ``sync_bn``: its norms take the place of timm's, which hold activations.

    Args:
        how: the config's ``sync_bn``.
        network: the model.

    Raises:
        InputError: the model has such norms.
    """
    holding = (
        isinstance(m, _BatchNorm) and not isinstance(getattr(m, "act", None), (NoneType, Identity))
        for m in network.modules()
    )
    if how and any(holding):
        raise InputError(
            f"sync_bn='{how}' would silently remove the activations that the backbone's norms hold. Leave it "
            f"out, and write norm_cfg=dict(type='SyncBN') in the backbone."
        )


def _arriving(network: Any) -> tuple[str, list[int]]:
    """A sentence on the maps that arrive at the heads, and their channels; none where that is unknown."""
    neck = getattr(network, "neck", None)
    giver = getattr(network, "backbone", None) if neck is None else neck
    channels = getattr(giver, "out_channels", None)
    if isinstance(channels, int):
        channels = [channels] * int(getattr(giver, "num_outs", 0))
    strides = getattr(giver, "out_strides", None)
    if not isinstance(channels, Sequence) or (neck is None and strides is None):
        return "", []  # others than ours may mean something else by these names
    text = f"The {'backbone' if neck is None else 'neck'} gives maps of {list(channels)} channels"
    return text + (f" at strides {list(strides)}" if neck is None and strides else ""), list(channels)


def _heads(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each decode head of a segmenter's config, with the name that its module has."""
    for key in ("decode_head", "auxiliary_head"):
        node = model.get(key)
        if isinstance(node, Mapping):
            yield key, node
        elif isinstance(node, Sequence):
            yield from ((f"{key}.{number}", one) for number, one in enumerate(node))


def _length(value: Any) -> int | None:
    """How many of a list; None for a single one."""
    return len(value) if isinstance(value, Sequence) else None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) else [value]
