"""The pretrained weights of a whole config: which they are, and how to train without."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from ..weights.named import forget_weights, weights_named
from .configs import walk


def addresses(cfg: Config) -> list[str]:
    """The weights that the parts of the model start from, as the config names them."""
    return list(dict.fromkeys(str(name) for _, node in walk(cfg.model) for name in weights_named(node)))


def drop_pretrained(cfg: Config) -> str:
    """Take all pretrained weights out of the model, in place; returns what was done.

    ``load_from`` stays: it brings the weights of the whole model. Without it nothing stays frozen, since that
    would keep its random values.
    """
    dropped = addresses(cfg)
    thawed = False
    for _, node in walk(cfg.model):
        forget_weights(node)
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
