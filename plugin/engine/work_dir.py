"""The folder of a training's results: one training each."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..errors import InputError

_MARKS = ("last_checkpoint", "metrics.json", "last.pth", "best*.pth")


def check_unused(folder: Path, resume: Path | None = None, option: str = "--work-dir") -> None:
    """Check that no other training's results are in ``folder``; what a failed start left may go.

    Args:
        folder: for the results.
        resume: checkpoint that the training goes on from; results beside it are its own.
        option: names the folder in the message.

    Raises:
        InputError: there are, or there is a config.py that no training wrote.
    """
    if resume is not None and resume.resolve().parent == folder.resolve():
        return
    other = f"take another folder, such as {option} {_next(folder)}"
    if found := [path.name for mark in _MARKS for path in sorted(folder.glob(mark))]:
        raise InputError(
            f"{option} {folder} holds a training already ({', '.join(found[:3])}), which would be lost. "
            f"Go on with that by --resume, or {other}."
        )
    if (folder / "config.py").exists() and not any(folder.glob("*/vis_data")):
        raise InputError(f"{option} {folder} holds a config.py, which would be replaced: {other}.")


def _next(folder: Path) -> Path:
    """The first of ``<folder>_2``, ``<folder>_3`` ... that does not exist."""
    number = 2
    while (path := folder.with_name(f"{folder.name}_{number}")).exists():
        number += 1
    return path


def check_work_dir(path: Path, option: str = "--work-dir") -> Path:
    """Check that the folder can be written to, or be made; it is not made yet, since much may be refused.

    Raises:
        InputError: no right or no space to write.
    """
    there = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
    try:
        with tempfile.TemporaryFile(dir=there) as probe:  # of its own: all processes do this at once
            probe.write(b"\0" * 4096)
            probe.flush()
    except OSError as error:
        raise _cannot_be_written(path, option, error) from error
    return path


def prepare_work_dir(path: Path, option: str = "--work-dir") -> Path:
    """Make the folder, and check that it can be written to.

    Raises:
        InputError: no right or no space to write.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_be_written(path, option, error) from error
    return check_work_dir(path, option)


def _cannot_be_written(path: Path, option: str, error: OSError) -> InputError:
    return InputError(f"{option} {path} cannot be written: {error.strerror or error}. Choose another folder.")
