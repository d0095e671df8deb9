"""``mmbackbones doctor``."""

from __future__ import annotations

import typer


def doctor_command() -> None:
    """Say what is installed, which operators compute, and what does not fit, with the command that mends it.

    Example: mmbackbones doctor

    Imports are tried in a process of their own. The exit status is 1 if something is broken.
    """
    import sys

    from rich.console import Console
    from rich.text import Text

    from ..doctor.diagnosis import diagnose

    console = Console(file=sys.stdout, soft_wrap=True)
    found = diagnose()
    for name, text in found.rows:
        console.print(Text(f"{name:<13} {text}"))
    for one in sorted(found.findings, key=lambda one: not one.broken):
        console.print(Text(one.text, style="bold red" if one.broken else ""))
        if one.command:
            console.print(Text(f"  To mend: {one.command}" if one.broken else f"  To add: {one.command}"))
    broken = sum(one.broken for one in found.findings)
    words = {0: "Nothing is broken.", 1: "1 thing is broken."}
    console.print(Text(words.get(broken, f"{broken} things are broken.")))
    if broken:
        raise typer.Exit(1)
