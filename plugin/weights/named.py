"""Weights that a model's config names, as mmengine, mmseg, mmdet or our backbones spell it; and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_KEYS = ("pretrained", "teacher_ckpt")  # the second one of LAD and LD


def weights_named(node: dict[str, Any]) -> Iterator[Any]:
    """What one node of a config loads; not what the nodes inside it load."""
    yield from (node[key] for key in _KEYS if node.get(key))
    yield from (one["checkpoint"] for one in _listed(node.get("init_cfg")) if _loads(one))


def forget_weights(node: dict[str, Any]) -> None:
    """Take out of one node, in place, what it loads."""
    for key in _KEYS:
        node.pop(key, None)
    if "init_cfg" in node:
        node["init_cfg"] = [one for one in _listed(node["init_cfg"]) if not _loads(one)] or None


def without_weights(config: Any) -> Any:
    """A copy of a model's config that loads nothing, neither when it is built nor by ``init_weights``."""
    if isinstance(config, (list, tuple)):
        return type(config)(without_weights(value) for value in config)
    if not isinstance(config, dict):
        return config
    config = type(config)(config)
    forget_weights(config)
    for key, value in config.items():
        config[key] = without_weights(value)
    return config


def _listed(init_cfg: Any) -> list[Any]:
    return list(init_cfg) if isinstance(init_cfg, (list, tuple)) else [init_cfg] if init_cfg else []


def _loads(init_cfg: Any) -> bool:
    kind = str(init_cfg.get("type")) if isinstance(init_cfg, dict) else ""
    return kind.rpartition(".")[2] == "Pretrained" and bool(init_cfg.get("checkpoint"))
