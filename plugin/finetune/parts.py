"""The backbones inside a model, and the groups of its optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from mmengine.model import is_model_wrapper
from torch import nn

from ..backbone import Backbone


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, without the wrapper for several processes."""
    return cast(nn.Module, model.module) if is_model_wrapper(model) else model


def backbones(model: nn.Module) -> dict[str, Backbone]:
    """Each :class:`mmbackbones.backbone.Backbone` in ``model`` by its path; most have one, ``backbone``."""
    return {path: module for path, module in model.named_modules() if isinstance(module, Backbone)}


def param_groups(optim_wrapper: Any) -> Iterator[dict[str, Any]]:
    """The groups of an optimiser wrapper, of all its optimisers where it holds several."""
    groups = optim_wrapper.param_groups
    for part in groups.values() if isinstance(groups, dict) else [groups]:
        yield from part
