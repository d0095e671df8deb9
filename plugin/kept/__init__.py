"""What was found out of networks and configs, kept on disk so that the next command need not find it again.

A fact is made of numbers, words and containers of them. It lies in a file of its own, in a folder for the
versions that it was found with: another version of torch, a library or this package finds it anew. The folder
is ``mmbackbones`` in the user's cache folder; ``MMBACKBONES_CACHE`` names another one, and an empty
``MMBACKBONES_CACHE`` keeps nothing. A file that cannot be read or written changes nothing but the time taken.
Of other versions' folders, the :data:`OTHERS` that were used last stay.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_NAME = re.compile("[0-9a-f]{16}")  # of a folder of :func:`versions`

#: Stands for a fact that was not kept: None can be one.
MISSING: Any = object()
#: How many folders of other versions stay, for environments that are used in turn.
OTHERS = 8
#: Whose networks and modules are traced, by the names of their distributions.
_LIBRARIES = (
    *("torch", "timm", "torchvision", "mmengine", "mmcv", "mmcv-lite", "mmdet", "mmsegmentation"),
    *("onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "onedl-mmsegmentation", "mmpretrain"),
)


def fact(what: str, of: object, find: Callable[[], T]) -> T:
    """What ``find()`` gives, or gave when it was last asked for ``what`` of ``of``.

    Args:
        what: Which fact, e.g. ``"trace"``.
        of: All that it depends on beside the versions.
        find: Finds it; an error of it is not kept.

    What is no data, be it ``of`` or what was found, is not kept either.
    """
    value: T = known(what, of, MISSING)
    if value is MISSING:
        value = find()
        keep(what, of, value)
    return value


def known(what: str, of: object, otherwise: Any = None) -> Any:
    """What was kept of ``what`` and ``of``, as :func:`fact` has them; ``otherwise`` if nothing was."""
    if (file := _file(what, of)) is None:
        return otherwise
    with suppress(OSError, ValueError, SyntaxError):
        digest, _, content = file.read_text(encoding="utf-8").partition("\n")
        if digest == _digest(content):
            return ast.literal_eval(content)
    return otherwise


def keep(what: str, of: object, value: object) -> None:
    """Keep a fact for :func:`known`; what is no data is not kept."""
    file, text = _file(what, of), _as_text(value)
    if file is not None and text is not None:
        _write(file, text)


def _file(what: str, of: object) -> Path | None:
    """Where a fact lies; None if nothing is kept, or ``of`` is no data."""
    folder, asked = _folder(), _as_text((what, of))
    if folder is None or asked is None:
        return None
    note_use(folder)
    return folder / f"{_digest(asked)[:32]}.txt"


def _as_text(value: Any) -> str | None:
    """``value`` as Python reads it back; None if it does not."""
    text = repr(value)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return text


def _write(file: Path, text: str) -> None:
    """Write a fact so that nobody ever reads half of it."""
    part = file.with_suffix(f".{os.getpid()}.part")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(f"{_digest(text)}\n{text}", encoding="utf-8")
        part.replace(file)


@cache
def note_use(folder: Path) -> None:
    """Note that a folder is used; before it is made, forget other versions' but the last used ones."""
    with suppress(OSError):
        if folder.is_dir():
            os.utime(folder)
            return
        others = [one for one in folder.parent.iterdir() if _NAME.fullmatch(one.name) and one.is_dir()]
        others.sort(key=lambda one: one.stat().st_mtime, reverse=True)
        for old in others[OTHERS:]:
            _remove(old)


def _remove(folder: Path) -> None:
    """Remove the facts in a folder, and it if it holds nothing else."""
    with suppress(OSError):  # another process may do the same
        for file in folder.iterdir():
            if file.suffix in (".txt", ".part"):
                file.unlink()
        folder.rmdir()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _folder() -> Path | None:
    """Where the facts of these versions lie; None if nothing is kept."""
    asked = os.environ.get("MMBACKBONES_CACHE")
    if asked == "":
        return None
    if asked is None:
        asked = f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/mmbackbones"
    try:
        return Path(asked).expanduser() / versions()
    except RuntimeError:  # nobody knows the user's home
        return None


@cache
def versions() -> str:
    """A word for the versions of the libraries and the state of our own files, which may be a checkout's."""
    found = [f"{name} {_version(name)}" for name in _LIBRARIES]
    package = Path(__file__).parents[1]
    files = [*package.rglob("*.py"), *_necks(package)]
    states = ((file.name, file.stat()) for file in sorted(files))
    found += [f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states]
    return _digest("\n".join(found))[:16]


def _necks(package: Path) -> list[Path]:
    """The files of the necks, which lie in the package, or beside it in a checkout."""
    return [] if (package / "necks").is_dir() else [*(package.parent / "necks").glob("*.py")]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
