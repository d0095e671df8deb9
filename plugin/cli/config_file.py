"""Writing a config that a command made: fitted to the user's data, with what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import InputError

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..compose.fit import Settings


def check_out(out: Path | None, force: bool) -> None:
    """Raises InputError if mmengine could not read ``out``, or if it exists."""
    if out is not None and out.suffix != ".py":
        raise InputError(
            f"--out {out}: mmengine reads configs from .py files; write {out.with_suffix('.py')}."
        )
    if out is not None and out.exists() and not force:
        raise InputError(f"--out {out} exists. Choose another name, or add --force to write over it.")


def write_config(
    cfg: Config, what: str, notes: Sequence[str], settings: Settings, out: Path | None, cache: str
) -> None:
    """Fit ``cfg`` to the user's settings and write it, with notes as comments and on the console.

    Args:
        cfg: the config; changed in place.
        what: its first line, as "retinanet with convnext_tiny.".
        notes: what was decided so far, one sentence each.
        settings: what the user said of data and schedule.
        out: the file; None for standard output, which then has nothing else.
        cache: stem of the folder for files made of the data, where there is no ``out``.
    """
    from ..compose.config_text import config_text
    from ..compose.fit import Settings, fit
    from .console import new_console, reading, shortest

    console = new_console()
    notes = list(notes)
    folder = (out.parent if out is not None else Path()).expanduser().absolute()
    if settings != Settings():
        with reading(console) as progress:
            made = folder / f"{out.stem if out is not None else cache}_data"
            notes += fit(cfg, settings, cache_dir=made, progress=progress)
    file = out.name if out is not None else "my.py"
    text = config_text(cfg, [what, f"Train: mmbackbones train {file}", *notes])
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error.strerror or error}.") from error
    for note in notes:
        console.print(f"  {note}", highlight=False, markup=False)
    console.print(f"Written: {shortest(out.absolute())}", soft_wrap=True, highlight=False)
