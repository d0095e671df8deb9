"""``leaderboard.csv``, ``.md``, ``.json``, and the three lines at the end: all derived, none is state."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .plan import Board, failures
from .records import Record, run_folder, write_atomically
from .standings import Row, cheapest, rows_of, tied
from .statistics import SEEDS_FOR_P

_Read = Callable[[Row], Any]
#: Columns of all tables: name, digits after the point (None as it is), and where it comes from.
COLUMNS: tuple[tuple[str, int | None, _Read], ...] = (
    ("group", None, lambda row: row.standing.group),
    ("backbone", None, lambda row: row.standing.name),
    ("trial", None, lambda row: row.records[0].trial),
    ("metric", 4, lambda row: row.standing.mean),
    ("low", 4, lambda row: row.standing.low),
    ("high", 4, lambda row: row.standing.high),
    ("seeds", None, lambda row: len(row.records)),
    ("p", 4, lambda row: row.standing.p),
    ("seed_p", 4, lambda row: row.standing.seed_p),
    ("seed_low", 4, lambda row: row.seed_interval and row.seed_interval[0]),
    ("seed_high", 4, lambda row: row.seed_interval and row.seed_interval[1]),
    ("latency_p50_ms", 2, lambda row: row.latency),
    ("latency_p95_ms", 2, lambda row: row.middle(lambda record: record.latency_ms.get("p95"))),
    ("params", None, lambda row: row.records[0].params),
    ("macs", None, lambda row: row.records[0].macs),
    ("train_seconds_per_iter", 4, lambda row: row.middle(lambda record: record.train_seconds_per_iter)),
    ("memory_mib", 1, lambda row: row.middle(lambda record: record.memory_mib)),
    ("checkpoint_bytes", None, lambda row: row.records[0].checkpoint_bytes),
    ("weights", None, lambda row: row.records[0].weights.get("tag", "")),
    ("licence", None, lambda row: row.records[0].weights.get("licence", "")),
)


def write_tables(board: Board, records: Mapping[str, Record], folder: Path, shown: str = "") -> list[str]:
    """Write the three tables into ``folder``; returns the lines of the verdict.

    Args:
        board: what was to run.
        records: what has run.
        folder: of the board.
        shown: how the user calls that folder, in commands.

    Raises:
        InputError: the runs cannot be compared, see :func:`.standings.rows_of`.
    """
    rows = rows_of(board, records, folder)
    lines = verdict(rows, shown or str(folder))
    values = [{name: _rounded(read(row), digits) for name, digits, read in COLUMNS} for row in rows]
    failed = failures(board, records)
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for name, _, _ in COLUMNS], lineterminator="\n")
    writer.writeheader()
    writer.writerows(values)
    write_atomically(folder / "leaderboard.csv", text.getvalue())
    write_atomically(folder / "leaderboard.md", _page(lines, values, rows, failed))
    content = {
        "verdict": lines,
        "conditions": _conditions(rows),
        "rows": [
            {**one, "runs": [r.key for r in row.records]} for one, row in zip(values, rows, strict=True)
        ],
        "failures": [asdict(record) for record in failed],
    }
    write_atomically(folder / "leaderboard.json", json.dumps(content, indent=1) + "\n")
    return lines


def verdict(rows: Sequence[Row], folder: str) -> list[str]:
    """The best with its interval; what ties with it; the cheapest of these, and how to train it."""
    if not rows:
        return ["No net has a result yet."]
    best, ties = rows[0], tied(rows)
    name = best.records[0].metric_name
    shown = ", ".join(f"{row.standing.name} {_figure(row.standing.mean, name)}" for row in ties[1:])
    if max(len(row.records) for row in rows) < 2:
        told = "One seed each: no two nets can be told apart. Give `seeds: 3` or more"
        told += f", and {SEEDS_FOR_P} for p-values of seeds."
    else:
        told = f"Tied with it: {shown}." if shown else "Nothing is tied with it."
    cheap = cheapest(ties)
    cost = f"{cheap.latency:.1f} ms an image" if cheap.latency is not None else ""
    config = run_folder(Path(folder), cheap.records[0].key) / "config.py"
    interval = f"{_figure(best.standing.low, name)} to {_figure(best.standing.high, name)}"
    seeds = f"{len(best.records)} seed{'s' * (len(best.records) > 1)}"
    return [
        f"Best: {best.standing.name}, {name} {_figure(best.standing.mean, name)} "
        f"(95 %: {interval}; {seeds}).",
        told,
        f"Cheapest of these: {cheap.standing.name} ({cost}). Train it: mmbackbones train {config} "
        f"--work-dir {cheap.standing.name.replace(':', '_')}",
    ]


def _figure(value: float, name: str) -> str:
    return f"{value:.1f}" if name == "mIoU" else f"{value:.3f}"


def _rounded(value: Any, digits: int | None) -> Any:
    return value if value is None or digits is None else round(float(value), digits)


def _conditions(rows: Sequence[Row]) -> dict[str, Any]:
    """What all runs had in common; a list where they did not."""
    names = ("task", "model", "metric_name", "epochs", "batch_size", "image_size", "data", "precision")
    found: dict[str, Any] = {}
    for name in (*names, "device", "threads", "commit", "versions"):
        values: list[Any] = []
        for row in rows:
            values += [v for r in row.records if (v := getattr(r, name)) not in values]
        found[name] = values[0] if len(values) == 1 else values
    return found


def _page(
    lines: Sequence[str], values: Sequence[Mapping[str, Any]], rows: Sequence[Row], failed: Sequence[Record]
) -> str:
    parts = ["# Leaderboard\n", *(f"{line}\n" for line in lines)]
    filled = [name for name, _, _ in COLUMNS if any(one[name] not in (None, "") for one in values)]
    if values:
        parts.append(_markdown(filled, [[one[name] for name in filled] for one in values]))
        conditions = "; ".join(f"{name}: {value}" for name, value in _conditions(rows).items() if value)
        parts.append(f"Conditions: {conditions}.\n")
    if failed:
        parts.append("## Failed\n")
        head = ["backbone", "trial", "seed", "cause", "message", "next_step"]
        parts.append(_markdown(head, [[getattr(record, name) for name in head] for record in failed]))
    return "\n".join(parts)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in cells) + "\n"


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split()).replace("|", "\\|")
