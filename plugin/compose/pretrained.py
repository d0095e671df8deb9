"""Pretrained weights that a config names: which they are, and how to go without."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from .configs import kind, walk


def addresses(cfg: Config) -> list[str]:
    """The weights that the parts of the model start from, as the config names them."""
    return list(dict.fromkeys(str(name) for name in _named(cfg.model)))


def without_pretrained(model: dict[str, Any]) -> dict[str, Any]:
    """A copy of a model's config that loads nothing, neither when it is built nor by ``init_weights``."""
    model = copy.deepcopy(model)
    for _, node in walk(model):
        _forget(node)
    return model


def _forget(node: dict[str, Any]) -> None:
    node.pop("pretrained", None)
    node.pop("teacher_ckpt", None)  # of LAD and LD
    if "init_cfg" in node:
        node["init_cfg"] = [one for one in _listed(node["init_cfg"]) if not _loads(one)] or None


def drop_pretrained(cfg: Config) -> str:
    """Take all pretrained weights out of the model, in place; returns what was done.

    ``load_from`` stays: it brings the weights of the whole model. Without it nothing stays frozen, since that
    would keep its random values.
    """
    dropped = addresses(cfg)
    thawed = False
    for _, node in walk(cfg.model):
        _forget(node)
        for key, free in _FREEZING.items():
            if node.get(key, free) != free and dropped and not cfg.get("load_from"):
                node[key] = free
                thawed = True
    if not dropped:
        return "the config names no pretrained weights: --no-pretrained changes nothing"
    thaws = ", and nothing is frozen" if thawed else ""
    return f"random weights in place of {', '.join(dropped)}{thaws}"


#: What freezes a part of a backbone, with the value that does not.
_FREEZING: dict[str, Any] = {"frozen_stages": -1, "frozen_fraction": None, "norm_eval": False}


def _named(model: dict[str, Any]) -> Iterator[Any]:
    """All weights that a model's config names, as mmengine, mmseg or our backbones spell it."""
    for _, node in walk(model):
        yield from (node[key] for key in ("pretrained", "teacher_ckpt") if node.get(key))
        yield from (one["checkpoint"] for one in _listed(node.get("init_cfg")) if _loads(one))


def _listed(init_cfg: Any) -> list[Any]:
    return list(init_cfg) if isinstance(init_cfg, (list, tuple)) else [init_cfg] if init_cfg else []


def _loads(init_cfg: Any) -> bool:
    return kind(init_cfg) == "Pretrained" and bool(init_cfg.get("checkpoint"))
