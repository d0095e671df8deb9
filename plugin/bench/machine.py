"""What the benchmarks run on."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import typer


def machine() -> str:
    """The CPU's model, threads, and the GPU's model if there is one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    text = f"{models[0] if models else platform.processor()}, threads: {torch.get_num_threads()}"
    return f"{text}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else text


def devices(asked: str | None) -> list[str]:
    """Types of the devices to measure on: the one that was asked for, else the CPU and a GPU if there is one.

    Raises:
        typer.BadParameter: it is unknown, or not here.
    """
    there = ["cpu", *["cuda"] * torch.cuda.is_available()]
    if asked is not None:
        if asked not in there:
            raise typer.BadParameter(f"--device {asked}: here are {', '.join(there)}.")
        return [asked]
    if len(there) == 1:
        typer.echo("No GPU here: not measured on one.")
    return there


def table_of(rows: Sequence[Mapping[str, Any]], digits: int = 2) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table: the last row's names, and of each row what it has under them."""
    head = list(rows[-1])
    return head, [[_shown(row.get(name, ""), digits) for name in head] for row in rows]


def _shown(value: Any, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def write_figures(out: Path | None, rows: Sequence[Any], **about: Any) -> None:
    """Write rows of figures as JSON, with the machine and ``about``; after each row, so a kill loses one."""
    if out is not None:
        content = {"machine": machine(), "torch": torch.__version__, **about, "rows": list(rows)}
        out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
