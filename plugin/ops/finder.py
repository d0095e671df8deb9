"""Offers ``mmcv._ext`` where mmcv was installed without its compiled module (mmcv-lite).

The finder stands last on ``sys.meta_path``: a real compiled ``mmcv._ext`` is found before it and
always wins. torch and mmcv are imported only when somebody imports ``mmcv._ext``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NAME = "mmcv._ext"
PROVIDER = "mmbackbones.ops.ext"


class _ExtLoader(Loader):
    """Fills the module ``mmcv._ext`` from :data:`PROVIDER`."""

    def exec_module(self, module: ModuleType) -> None:
        importlib.import_module(PROVIDER).fill(module)


class ExtFinder(MetaPathFinder):
    """Finds :data:`NAME` and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, _ExtLoader()) if fullname == NAME else None


def install() -> None:
    """Put one :class:`ExtFinder` at the end of ``sys.meta_path``; a second call changes nothing."""
    if not any(isinstance(finder, ExtFinder) for finder in sys.meta_path):
        sys.meta_path.append(ExtFinder())
