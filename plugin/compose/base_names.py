"""What mmengine learns about configs: our names in ``_base_``, our functions in configs with ``read_base``.

``_base_ = ["mmbackbones::detection/..."]``: mmengine reads such names only for the packages that it lists,
and sets the name's package as scope of what it reads; our configs are mmdet's and mmseg's by their
``default_scope``. So one function of its ``Config`` asks here first.

``from mmbackbones import swap``: in a config with ``read_base`` that is no import but a note of what would be
imported, and calling it raises. A function of this package is imported and called, so that such a config
says ``model = swap(model, ...)`` as any other does.

Both must be so in mmdet's and mmseg's own tools too, which do not import this package: :func:`install` is
called at the end of ``import torch`` (see the entry point in pyproject.toml, torch >= 2.5) and by
``import mmbackbones``. It imports nothing and waits until mmengine's class is there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import Any

PREFIX = "mmbackbones::"
SIBLINGS = ("mmdet", "mmseg")


class _Waiting(MetaPathFinder):
    """Finds no module; sees by the imports when mmengine's ``Config`` is there, teaches it and goes."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.startswith("mmengine.") and _teach():
            sys.meta_path.remove(self)
        return None


def install() -> None:
    """Teach mmengine, now or as soon as it is imported; a second call changes nothing."""
    if not _teach() and not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())


def _teach() -> bool:
    """Whether ``Config`` is there; it knows our names and functions then."""
    config = getattr(sys.modules.get("mmengine.config.config"), "Config", None)
    if config is None:
        return False
    theirs = config._get_cfg_path
    if not getattr(theirs, "knows_mmbackbones", False):

        def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
            if cfg_path.startswith(PREFIX):
                return base_file(cfg_path), None  # the scope is the config's default_scope
            return _file_of_sibling(cfg_path) or theirs(cfg_path, filename)

        get_cfg_path.knows_mmbackbones = True  # type: ignore[attr-defined]
        config._get_cfg_path = staticmethod(get_cfg_path)
        for lazy in vars(sys.modules["mmengine.config.lazy"]).values():
            if isinstance(lazy, type) and "__call__" in vars(lazy):  # LazyObject, LazyAttr
                lazy.__call__ = _calling_ours(lazy.__call__)  # type: ignore[method-assign]
    return True


def _calling_ours(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """``__call__`` of what an import line of a config with ``read_base`` gives, which else always raises."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.module.partition(".")[0] == "mmbackbones" and isfunction(function := self.build()):
            return function(*args, **kwargs)
        return theirs(self, *args, **kwargs)

    return call


def _file_of_sibling(name: str) -> tuple[str, str] | None:
    """File and scope of ``mmdet::<folder>/<name>.py``, as mmengine finds it; None if mmdet is not there.

    mmengine reads a hundred metafiles first, half a second for each name, and asks for distributions called
    mmdet and mmsegmentation, which the continuation of OpenMMLab has not: there it finds none of mmseg's.

    Raises:
        InputError: the package is there and has no such config; the message lists the nearest names.
    """
    package, separator, short = name.partition("::")
    spec = find_spec(package) if separator and package in SIBLINGS else None
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / ".mim" / "configs" / short
    return (str(file) if file.is_file() else base_file(name)), package


def base_file(name: str) -> str:
    """The file of ``<package>::<folder>/<name>``, one of its configs or of their ``_base_``.

    Raises:
        InputError: there is none; the message lists the nearest names.
    """
    from .configs import find_config

    return str(find_config(name))
