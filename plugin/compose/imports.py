"""Files that register a user's own networks: imported here, and named in configs for other processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InputError


def import_nets(files: Sequence[str] | None, said: str = "--import") -> tuple[str, ...]:
    """Import each of ``files``, paths or names of modules, which register networks; returns their modules.

    The folder of a file comes into ``sys.path``, and into ``PYTHONPATH`` for processes begun from here, so
    that a config's ``custom_imports`` finds it as well.

    Args:
        files: Paths or names.
        said: How the user named them.

    Raises:
        InputError: there is no such file, another module has its name, or its code fails.
    """
    names = []
    for file in files or ():
        path = Path(file).resolve()
        if path.suffix == ".py":
            if not path.is_file():
                raise InputError(f"{said} {file}: there is no such file.")
            _find_in(str(path.parent))
        names.append(path.stem if path.suffix == ".py" else file)
        try:
            module = import_module(names[-1])
        except Exception as error:  # the user's code, which may fail in any way
            raise InputError(f"{said} {file}: {type(error).__name__}: {error}.") from error
        if path.suffix == ".py" and Path(str(module.__file__)).resolve() != path:
            raise InputError(
                f"{said} {file}: a module of that name is {module.__file__}. Give the file another name."
            )
    return tuple(names)


def _find_in(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if folder not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, known)])


def name_imports(cfg: Any, backbone: str) -> None:
    """Let the config import the file that registers ``backbone``, if that is a network of the user's own."""
    from ..catalog.own import own_net

    own = own_net(backbone)
    if own is not None:
        add_imports(cfg, (own.home,))


def add_imports(cfg: Any, modules: Sequence[str]) -> None:
    """Let the config import ``modules`` too."""
    given = dict(cfg.get("custom_imports") or {})
    names = given.get("imports") or []
    names = [names] if isinstance(names, str) else list(names)
    cfg.custom_imports = {**given, "imports": [*dict.fromkeys([*names, *modules])]}
