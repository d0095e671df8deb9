"""``leaderboard.csv``, ``.md``, ``.json``, and the three lines at the end: all derived, none is state."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .prior import told_of_priors, transfer_of
from .records import Record, run_folder, write_atomically
from .standings import Results, Row, cheapest, tied
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
    ("latency_pre_ms", 2, lambda row: row.middle(lambda record: record.latency_ms.get("pre"))),
    ("latency_post_ms", 2, lambda row: row.middle(lambda record: record.latency_ms.get("post"))),
    ("onnx_ms", 2, lambda row: row.middle(lambda record: record.onnx.get("ms"))),
    ("onnx_int8_ms", 2, lambda row: row.middle(lambda record: record.onnx.get("int8_ms"))),
    ("energy_joules", 0, lambda row: row.middle(lambda record: record.energy_joules)),
    ("params", None, lambda row: row.records[0].params),
    ("transfer", 4, lambda row: transfer_of(row.records)),
    ("macs", None, lambda row: row.records[0].macs),
    ("train_seconds_per_iter", 4, lambda row: row.middle(lambda record: record.train_seconds_per_iter)),
    ("memory_mib", 1, lambda row: row.middle(lambda record: record.memory_mib)),
    ("checkpoint_bytes", None, lambda row: row.records[0].checkpoint_bytes),
    ("weights", None, lambda row: row.records[0].weights.get("tag", "")),
    ("licence", None, lambda row: row.records[0].weights.get("licence", "")),
)


def write_tables(results: Results) -> list[str]:
    """Write the three tables into the folder of the board; returns the lines of the verdict."""
    rows, folder = results.rows, results.folder
    lines = [*verdict(rows, results.shown), *told_beside(results)]
    values = [values_of(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for name, _, _ in COLUMNS], lineterminator="\n")
    writer.writeheader()
    writer.writerows(values)
    write_atomically(folder / "leaderboard.csv", text.getvalue())
    write_atomically(folder / "leaderboard.md", _page(lines, values, results))
    content = {
        "verdict": lines,
        "conditions": conditions(results),
        "rows": [
            {**one, "runs": [r.key for r in row.records]} for one, row in zip(values, rows, strict=True)
        ],
        "failures": [asdict(record) for record in results.failed],
        "refused": [asdict(record) for record in results.refused],
        "foretold": [asdict(hit) for hit in results.hits],
    }
    write_atomically(folder / "leaderboard.json", json.dumps(content, indent=1) + "\n")
    return lines


def values_of(row: Row) -> dict[str, Any]:
    """The row as all tables have it, by the names of :data:`COLUMNS`."""
    return {name: _rounded(read(row), digits) for name, digits, read in COLUMNS}


def verdict(rows: Sequence[Row], shown: str) -> list[str]:
    """The best with its interval; what ties with it; the cheapest of these, and how to train it.

    Args:
        rows: all nets with a result, best first.
        shown: how the user calls the board's folder.
    """
    if not rows:
        return ["No net has a result yet."]
    best, cheap = rows[0], cheapest(tied(rows))
    name = best.records[0].metric_name
    cost = f" ({cheap.latency:.1f} ms an image)" if cheap.latency is not None else ""
    interval = f"{figure(best.standing.low, name)} to {figure(best.standing.high, name)}"
    return [
        f"Best: {best.standing.name}, {name} {figure(best.standing.mean, name)} "
        f"(95 %: {interval}; {seeds_of(best)}).",
        told_of_ties(rows),
        f"Cheapest of these: {cheap.standing.name}{cost}. Train it: {train_command(cheap.records[0], shown)}",
    ]


def told_beside(results: Results) -> list[str]:
    """What is said below the verdict: how well it was foretold, and what was left out as too slow."""
    slow = ", ".join(f"{one.backbone} ({one.message.partition(',')[0]})" for one in results.refused)
    limit = f"Left out as slower than limits.max_latency: {slow}." if slow else ""
    return [line for line in (told_of_priors(results.hits), limit) if line]


def told_of_ties(rows: Sequence[Row]) -> str:
    """What is tied with the best, by name; with one seed each, why nothing can be told."""
    name = rows[0].records[0].metric_name
    if max(len(row.records) for row in rows) < 2:
        told = "One seed each: no two nets can be told apart. Give `seeds: 3` or more"
        return told + f", and {SEEDS_FOR_P} for p-values of seeds."
    names = ", ".join(f"{row.standing.name} {figure(row.standing.mean, name)}" for row in tied(rows)[1:])
    return f"Tied with it: {names}." if names else "Nothing is tied with it."


def seeds_of(row: Row) -> str:
    """'1 seed', '3 seeds'."""
    return f"{len(row.records)} seed{'s' * (len(row.records) > 1)}"


def train_command(record: Record, shown: str) -> str:
    """The command that trains what a run trained; ``shown`` is how the user calls the board's folder."""
    config = run_folder(Path(shown), record.key) / "config.py"
    return f"mmbackbones train {config} --work-dir {record.backbone.replace(':', '_')}"


def figure(value: float, name: str) -> str:
    """A metric with as many digits as people read: mIoU in percent, mAP in 0..1."""
    return f"{value:.1f}" if name == "mIoU" else f"{value:.3f}"


def _rounded(value: Any, digits: int | None) -> Any:
    return value if value is None or digits is None else round(float(value), digits)


def conditions(results: Results) -> dict[str, Any]:
    """What all runs of a board had in common; a list where they did not."""
    names = ("task", "model", "metric_name", "epochs", "batch_size", "image_size", "data", "precision")
    found: dict[str, Any] = {}
    for name in (*names, "device", "threads", "commit", "versions"):
        values: list[Any] = []
        for record in results.records.values():
            if (value := getattr(record, name)) and value not in values:
                values.append(value)
        found[name] = values[0] if len(values) == 1 else values
    return found


def all_of(value: Any) -> str:
    """A value of :func:`conditions` as people read it."""
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)


def _page(lines: Sequence[str], values: Sequence[Mapping[str, Any]], results: Results) -> str:
    parts = ["# Leaderboard\n", *(f"{line}\n" for line in lines)]
    filled = filled_columns(values)
    if values:
        parts.append(_markdown(filled, [[one[name] for name in filled] for one in values]))
        shared = "; ".join(f"{name}: {all_of(value)}" for name, value in conditions(results).items() if value)
        parts.append(f"Conditions: {shared}.\n")
    head = ["backbone", "trial", "seed", "cause", "message", "next_step"]
    for title, records in (("Failed", results.failed), ("Left out", results.refused)):
        if records:
            parts.append(f"## {title}\n")
            parts.append(_markdown(head, [[getattr(record, name) for name in head] for record in records]))
    return "\n".join(parts)


def filled_columns(values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the columns in which some net has a value."""
    return [name for name, _, _ in COLUMNS if any(one[name] not in (None, "") for one in values)]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in cells) + "\n"


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split()).replace("|", "\\|")
