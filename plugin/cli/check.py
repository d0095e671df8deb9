"""``mmbackbones check``: the contract on one backbone, point by point."""

from __future__ import annotations

from typing import Annotated

import typer

from ..compose.imports import import_nets
from .options import Imports, quiet_log

_MARKS = {"holds": ("holds   ", "green"), "fails": ("fails   ", "bold red"), "left out": ("left out", "dim")}


def check_command(
    name: Annotated[
        str,
        typer.Argument(help="Your own network's name, a catalog name, timm:<name> or torchvision:<name>."),
    ],
    imports: Imports = None,
    with_onnx: Annotated[
        bool, typer.Option("--onnx", help="Export to ONNX too, and compare (needs the extra export).")
    ] = False,
) -> None:
    """Try the backbone contract on a network and say point by point what holds and what to change.

    Weights are random, nothing is downloaded. The exit status is 1 if a point fails.

    Example: mmbackbones check mynet --import my_nets.py
    """
    import_nets(imports)
    from collections import Counter

    from rich.text import Text

    from ..contract.check import check
    from .console import new_console

    console, counts = new_console(), Counter[str]()
    with quiet_log():
        for point in check(name, with_onnx=with_onnx):
            counts[point.outcome] += 1
            mark, style = _MARKS[point.outcome]
            line = Text.assemble((mark, style), f"  {point.name}: {point.seen}")
            console.print(line, soft_wrap=True)
            if point.change:
                console.print(Text(f"          To change: {point.change}"), soft_wrap=True)
    summary = f"{counts['holds']} points hold, {counts['fails']} fail, {counts['left out']} left out"
    console.print(Text(f"{name}: {summary}"), soft_wrap=True)
    if counts["fails"]:
        raise typer.Exit(1)
