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
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

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
            return _file_of_sibling(cfg_path) or theirs(cfg_path, filename)

        get_cfg_path.knows_mmbackbones = True  # type: ignore[attr-defined]
        config._get_cfg_path = staticmethod(get_cfg_path)
    return True


def _file_of_sibling(name: str) -> tuple[str, str] | None:
    """File and scope of ``mmdet::<folder>/<name>.py``, as mmengine finds it; None where that may differ.

    mmengine reads a hundred metafiles first, half a second for each name, and looks the name up in them
    without its ending, which all names in them have.
    """
    package, separator, short = name.partition("::")
    if not separator or package not in SIBLINGS or not short.endswith(".py"):
        return None
    spec = find_spec(package)
    file = Path(spec.origin).parent / ".mim" / "configs" / short if spec and spec.origin else None
    return (str(file), package) if file and file.is_file() else None


def base_file(name: str) -> str:
    """The file of ``mmbackbones::<folder>/<name>``, one of the shipped configs or of their ``_base_``.

    Raises:
        InputError: there is none; the message lists the nearest names.
    """
    from .configs import find_config

    return str(find_config(name))
