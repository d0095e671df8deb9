"""``_base_ = ["mmbackbones::detection/..."]``: mmengine finds the configs that we ship by name.

mmengine reads such names only for the packages that it lists, and sets the name's package as scope of what
it reads; our configs are mmdet's and mmseg's by their ``default_scope``. So one function of its ``Config``
asks here first. That must be so in mmdet's and mmseg's own tools too, which do not import this package:
:func:`install` is called at the end of ``import torch`` (see the entry point in pyproject.toml, torch >= 2.5)
and by ``import mmbackbones``. It imports nothing and waits until mmengine's class is there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PREFIX = "mmbackbones::"


class _Waiting(MetaPathFinder):
    """Finds no module; sees by the imports when mmengine's ``Config`` is there, teaches it and goes."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.startswith("mmengine.") and _teach():
            sys.meta_path.remove(self)
        return None


def install() -> None:
    """Teach mmengine our names, now or as soon as it is imported; a second call changes nothing."""
    if not _teach() and not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())


def _teach() -> bool:
    """Whether ``Config`` is there; it knows our names then."""
    config = getattr(sys.modules.get("mmengine.config.config"), "Config", None)
    if config is None:
        return False
    theirs = config._get_cfg_path
    if not getattr(theirs, "knows_mmbackbones", False):

        def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
            if cfg_path.startswith(PREFIX):
                return base_file(cfg_path), None  # the scope is the config's default_scope
            return theirs(cfg_path, filename)

        get_cfg_path.knows_mmbackbones = True  # type: ignore[attr-defined]
        config._get_cfg_path = staticmethod(get_cfg_path)
    return True


def base_file(name: str) -> str:
    """The file of ``mmbackbones::<folder>/<name>``, one of the shipped configs or of their ``_base_``.

    Raises:
        InputError: there is none; the message lists the nearest names.
    """
    from .configs import find_config

    return str(find_config(name))
