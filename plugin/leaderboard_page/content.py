"""What stands on the page of a board, as plain values: the template and the script only lay it out."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from ..catalog import catalog_names, row_of
from ..leaderboard.pictures import read_pictures
from ..leaderboard.plan import figure_in, step_of
from ..leaderboard.records import Record, run_folder
from ..leaderboard.standings import Results, Row, cheapest, tied
from ..leaderboard.tables import (
    conditions,
    figure,
    filled_columns,
    seeds_of,
    told_beside,
    told_of_ties,
    train_command,
    values_of,
)
from .configs import as_lines, own_values

#: How a column is called, its unit for the script, whether a larger value is better, and whether the table
#: shows it; a column that is not here stands among a net's figures, under its name.
LOOKS: dict[str, tuple[str, str, bool, bool]] = {
    "group": ("Group", "", False, True),
    "backbone": ("Backbone", "", False, True),
    "trial": ("Trial", "", False, False),
    "metric": ("", "figure", True, True),
    "low": ("95 % interval", "figure", True, True),
    "high": ("", "figure", True, False),
    "seeds": ("Seeds", "", True, False),
    "p": ("p against the best", "p", False, False),
    "seed_p": ("p by seeds alone", "p", False, False),
    "seed_low": ("By seeds alone, from", "figure", True, False),
    "seed_high": ("By seeds alone, to", "figure", True, False),
    "latency_p50_ms": ("Latency p50", "ms", False, True),
    "latency_p95_ms": ("Latency p95", "ms", False, False),
    "latency_pre_ms": ("Before the network", "ms", False, False),
    "latency_post_ms": ("Behind the network", "ms", False, False),
    "onnx_ms": ("As ONNX", "ms", False, False),
    "onnx_int8_ms": ("As ONNX of 8 bits", "ms", False, False),
    "energy_joules": ("Energy of the training, J", "", False, False),
    "params": ("Parameters", "count", False, True),
    "transfer": ("Transfer score (LogME)", "", True, False),
    "macs": ("Multiply-adds", "count", False, True),
    "train_seconds_per_iter": ("Train, per step", "s", False, True),
    "memory_mib": ("Peak memory", "mib", False, True),
    "checkpoint_bytes": ("Checkpoint", "bytes", False, False),
    "weights": ("Weights", "", False, False),
    "licence": ("Licence", "", False, False),
}
#: The axes of the scatter.
_COSTS = {"latency_p50_ms": "Latency", "params": "Parameters", "macs": "Multiply-adds"}
_PICTURED = 12  # nets whose pictures are kept in the page
_METHOD = (
    "Intervals and ties: a paired bootstrap over the validation images inside seeds, and the variance of "
    "seeds, pooled over the nets; differences are corrected for all comparisons by Holm's method. Nets of "
    "group 1 cannot be told from the best. The metric is that of the last epoch. Latency is wall time of one "
    "image at batch 1, from the loaded image to the final boxes or labels; multiply-adds are the backbone's."
)


def content(results: Results) -> dict[str, Any]:
    """All that the page of a board has.

    Raises:
        InputError: a config in the folder of a run is not plain values.
    """
    rows, records = results.rows, results.records
    metric = next((one.metric_name for one in records.values()), "")
    values = [values_of(row) for row in rows]
    filled = filled_columns(values)
    classes = list(dict.fromkeys(one for row in rows for record in row.records for one in record.by_class))
    return {
        "name": results.folder.resolve().name.replace("_", " "),
        "chips": _chips(results),
        "metric": {
            "name": metric,
            "label": _metric_label(metric),
            "digits": 1 if metric == "mIoU" else 3,
            "by_class": "IoU" if metric == "mIoU" else "AP",
        },
        **_verdict(results),
        "columns": [_column(key, metric) for key in filled],
        "costs": [[key, label] for key, label in _COSTS.items() if key in filled],
        "rows": [
            {
                **{key: one[key] for key in filled},
                "family": family_of(row.standing.name),
                "runs": [record.key for record in row.records],
                "classes": [
                    _mean([record.by_class.get(label) for record in row.records]) for label in classes
                ],
            }
            for one, row in zip(values, rows, strict=True)
        ],
        "classes": classes,
        "unit": next((_unit(one) for one in records.values() if one.history), ""),
        **_runs(results),
        "pictures": _pictures(rows, results.folder),
        "failures": [
            {key: getattr(one, key) for key in ("backbone", "trial", "seed", "cause", "message", "log_tail")}
            | {"next_step": one.next_step}
            for one in (*results.failed, *results.refused)
        ],
        "beside": told_beside(results),
        "paused": _paused(results),
        "conditions": _conditions(results),
        "method": _METHOD,
    }


def family_of(name: str) -> str:
    """The catalog's family of a net; outside the catalog the first word of its name.

    >>> family_of("resnet50"), family_of("timm:edgenext_small"), family_of("timm:mobilenetv4_hybrid_large")
    ('resnet', 'edgenext', 'mobilenetv4')
    """
    if name in catalog_names():
        return row_of(name).family
    upstream = name.rpartition(":")[2]
    first = re.match(r"[a-z]+?(v\d+)?(?![a-z])", upstream.lower().removeprefix("tf_"))
    return first[0] if first else upstream


def _chips(results: Results) -> list[tuple[str, str]]:
    some = next(iter(results.records.values()), None)
    if some is None:
        return []
    counts = f"{len(results.rows)} nets, {len(results.records)} runs"
    counts += f", {len(results.failed)} failed" if results.failed else ""
    size = some.image_size.replace("x", " x ")
    found = {"task": some.task, "model": some.model, "board": counts, "epochs": some.epochs, "image": size}
    return [(key, str(value)) for key, value in found.items() if value]


def _verdict(results: Results) -> dict[str, Any]:
    rows = results.rows
    if not rows:
        return {"told": "No net has a result yet."}
    best, *ties = tied(rows)
    name = best.records[0].metric_name
    cheap = cheapest(tied(rows))
    cost = [f"{cheap.latency:.1f} ms an image"] if cheap.latency is not None else []
    if params := cheap.records[0].params:
        cost.append(f"{params / 1e6:.3g} M parameters")
    told = told_of_ties(rows)
    if told.startswith("Tied"):  # the names stand beside it
        told = f"{len(ties)} of {len(rows) - 1} others cannot be told from it."
    return {
        "best": {
            "mean": figure(best.standing.mean, name),
            "interval": " to ".join(figure(one, name) for one in (best.standing.low, best.standing.high)),
            "seeds": seeds_of(best),
        },
        "ties": [(one.standing.name, figure(one.standing.mean, name)) for one in ties],
        "told": told,
        "cheapest": {
            "backbone": cheap.standing.name,
            "cost": ", ".join(cost),
            "command": train_command(cheap.records[0], results.shown),
        },
    }


def _runs(results: Results) -> dict[str, Any]:
    """``runs``, those of the best net first, and ``lines``, which their configs are made of."""
    places = {row.standing.name: place for place, row in enumerate(results.rows)}
    counted = {record.key for row in results.rows for record in row.records}
    ordered = sorted(
        results.records.values(),
        key=lambda one: (places.get(one.backbone, len(places)), one.key not in counted, one.seed, one.trial),
    )
    texts = {
        one.key: path.read_text(encoding="utf-8")
        for one in ordered
        if (path := run_folder(results.folder, one.key) / "config.py").is_file()
    }
    lines, numbers = as_lines(texts)
    own = own_values(texts)
    runs = [
        {key: getattr(one, key) for key in ("key", "backbone", "trial", "seed", "state", "cause")}
        | {
            "metric": one.metric,
            "seconds": one.seconds,
            "counted": one.key in counted,
            "curve": _curve(one),
            "command": train_command(one, results.shown),
            "config": numbers.get(one.key, []),
            "own": own.get(one.key, {}),
        }
        for one in ordered
    ]
    return {"runs": runs, "lines": lines}


def _column(key: str, metric: str) -> dict[str, Any]:
    label, unit, more, in_table = LOOKS[key]
    return {
        "name": key,
        "label": label or _metric_label(metric),
        "unit": unit,
        "more": more,
        "inTable": in_table,
    }


def _metric_label(name: str) -> str:
    return {"bbox_mAP": "box mAP", "segm_mAP": "mask mAP"}.get(name, name)


def _paused(results: Results) -> list[dict[str, str]]:
    """Nets that halving left behind: where they pause, and with which figure; the best first."""
    ended = {row.standing.name for row in results.rows}
    best: dict[str, Record] = {}
    for one in results.records.values():
        if one.state == "paused" and one.history and one.backbone not in ended:  # not only probed
            so_far = best.setdefault(one.backbone, one)
            if (one.metric or 0) > (so_far.metric or 0):
                best[one.backbone] = one
    return [
        {
            "backbone": one.backbone,
            "metric": figure(one.metric or 0, one.metric_name),
            "when": f"{_unit(one)} {step_of(one.history[-1]):g}",
        }
        for one in sorted(best.values(), key=lambda one: -(one.metric or 0))
    ]


def _unit(record: Record) -> str:
    """What a run's evaluations are counted in."""
    return "epoch" if "epoch" in record.history[0] else "iteration"


def _curve(record: Record) -> list[tuple[float, float]]:
    """(epoch or iteration, metric) of each evaluation."""
    found = []
    for one in record.history:
        value = figure_in(one, record.metric_name)
        if value is not None and math.isfinite(value):
            found.append((step_of(one), value))
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(mean(known), 4) if known else None


def _conditions(results: Results) -> list[tuple[str, str]]:
    found = []
    for key, value in conditions(results).items():
        values = value if isinstance(value, list) else [value]
        if key == "versions":
            names = list(dict.fromkeys(name for one in values for name in one))
            for name in names:
                seen = dict.fromkeys(one[name] for one in values if name in one)
                found.append((name, ", ".join(seen)))
        elif text := ", ".join(str(one)[:12] if key == "commit" else str(one) for one in values if one):
            found.append(({"data": "data fingerprint"}.get(key, key.replace("_", " ")), text))
    return found


def _pictures(rows: Sequence[Row], folder: Path) -> dict[str, Any] | None:
    """Of the best nets, each on its first seed, as data addresses."""
    found = {
        row.standing.name: pictures
        for row in rows[:_PICTURED]
        if (pictures := read_pictures(run_folder(folder, row.records[0].key)))
    }
    if not found:
        return None
    first = next(iter(found.values()))
    return {
        "images": first.images,
        "legend": first.legend,
        "truth": [_address(path) for path in first.truth],
        "nets": {name: [_address(path) for path in one.predicted] for name, one in found.items()},
    }


def _address(path: Path) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()
