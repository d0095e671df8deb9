"""Another backbone in any config of mmdet and mmseg: read what it expects, ask for it, fit what reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..feature_nets.specs import get_spec
from .class_names import with_names
from .configs import SCOPE_OF, kind, load_config, task_of
from .exchange import exchange
from .optimizers import optimizer_for, state_batch
from .pairing import Replacing


def swap(
    base: Config | Mapping[str, Any] | str | Path,
    name: str,
    *,
    at: str | None = None,
    pretrained: bool = True,
    weights: str | None = None,
    **backbone_args: Any,
) -> Any:
    """Any config of mmdet or mmseg with another backbone; nothing of the caller's is changed.

    >>> swap("mmdet::detr/detr_r50_8xb2-150e_coco", "resnet18").model.neck.in_channels
    [512]

    In a config, over its ``_base_`` (which stands before the import), it gives the ``model``::

        _base_ = ["mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"]
        from mmbackbones import swap

        model = swap(_base_, "convnext_tiny", frozen_stages=1)

    In a config with ``read_base``, over the model::

        from mmbackbones import swap
        from mmengine.config import read_base

        with read_base():
            from my_package.configs.detr_r50 import *

        model = swap(model, "convnext_tiny", frozen_stages=1)

    Optimiser and schedule stay the base's there; ``mmbackbones swap`` and a whole ``Config`` get those that
    suit the net.

    Args:
        base: a ``Config``, its name or file (as ``mmbackbones train`` takes it), ``_base_``, or its model.
        name: a catalog name, ``timm:<name>`` or ``torchvision:<name>``.
        at: where the backbone stands, as ``"reid"`` in a tracker; needed where a model has several.
        pretrained: start from the default weights, where the net has any.
        weights: instead of the default ones: a tag, an address or a file.
        **backbone_args: further arguments of the backbone, e.g. ``frozen_stages=1``.

    Returns:
        A new ``Config``; for ``_base_`` the dict that replaces its model.

    Raises:
        InputError: no such config or backbone, or a model whose backbone cannot be exchanged: why.
    """
    asked = dict(at=at, pretrained=pretrained, weights=weights, **backbone_args)
    if isinstance(base, Mapping):
        cfg = _named(Config(dict(base) if "model" in base else {"model": dict(base)}))
        return Replacing(exchange(cfg.to_dict()["model"], _scope(cfg), get_spec(name), **asked).model)
    return swapped(base, name, **asked)[0]


def swapped(base: Config | str | Path, name: str, **asked: Any) -> tuple[Config, list[str]]:
    """As :func:`swap`, with what was decided, one sentence each."""
    spec = get_spec(name)
    old = base if isinstance(base, Config) else load_config(str(base))
    cfg = _named(old)
    found = exchange(cfg.to_dict()["model"], _scope(cfg), spec, **asked)
    cfg.model = found.model
    notes = found.notes
    cfg.pop("data_preprocessor", None)  # a copy of the model's, with the mean of the base's backbone
    if cfg.get("load_from"):
        notes.append(f"load_from={cfg.load_from} is dropped: it holds the old backbone.")
        cfg.load_from = None
    if (cfg.get("optim_wrapper") or {}).get("optimizer"):
        before = kind(cfg.optim_wrapper.optimizer)
        cfg.optim_wrapper, said = optimizer_for(
            spec,
            task_of(cfg),
            cfg.optim_wrapper,
            replaced=found.replaced,
            pretrained=found.weights is not None,
            frozen=found.frozen,
        )
        state_batch(cfg, before)
        notes += said
    return cfg, notes


def _named(cfg: Config) -> Config:
    """A copy of ``cfg`` whose types are names, where a config with ``read_base`` has classes."""
    return Config(with_names(cfg.to_dict()), filename=cfg.filename)


def _scope(cfg: Config) -> str:
    return SCOPE_OF[task_of(cfg)]
