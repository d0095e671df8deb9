"""Classes in configs with ``read_base``, as names by which they are found again."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import FunctionType
from typing import Any

from mmengine.registry import Registry
from mmengine.utils import get_object_from_string


def with_names(node: Any, key: str = "") -> Any:
    """A copy of ``node`` with classes and functions as names, as text configs have them.

    Args:
        node: a config or a part of it; mmengine itself may have made dotted names of the classes in it.
        key: under which ``node`` stands.
    """
    if isinstance(node, (type, FunctionType)):
        return _findable(f"{node.__module__}.{node.__qualname__}")
    if isinstance(node, dict):
        return {name: with_names(value, name) for name, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(map(with_names, node))
    return _findable(node) if key == "type" and isinstance(node, str) else node


def _findable(name: str) -> str:
    """``name``, or another one of the same class where that is not found by its file.

    mmengine takes ``mmdet.models.losses.smooth_l1_loss`` for the function of that name, and finds no
    ``L1Loss`` in it: that class is ``mmdet.L1Loss``. Of ``mmcv.ops`` what is in no registry is read by its
    bare name: layers of RoI extractors, and ``nms``.
    """
    module, _, own = name.rpartition(".")
    if "." not in module:
        return name
    try:
        value = getattr(import_module(module), own, None)
    except ImportError:
        return name  # what builds it says so
    if value is None:
        return name
    registered = _registered(value, name.partition(".")[0])
    if name.startswith("mmcv.ops.") and registered is None:
        return own
    return name if get_object_from_string(name) is value else registered or name


def _registered(value: Any, package: str) -> str | None:
    """``value``'s name in the registries of ``package`` or of mmengine, with their scope."""
    for scope in (package, "mmengine"):
        if find_spec(f"{scope}.registry") is None:
            continue
        for registry in vars(import_module(f"{scope}.registry")).values():
            for name, one in registry.module_dict.items() if isinstance(registry, Registry) else ():
                if one is value:
                    return f"{registry.scope}.{name}"
    return None
