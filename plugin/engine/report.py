"""Figures of a training from mmengine's log files: ``metrics.json`` and ``curves.png``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

Figures = dict[str, float]
# Shown first and drawn as curves, in this order; a name counts with any prefix ('coco/bbox_mAP_50').
MAIN = ("bbox_mAP", "bbox_mAP_50", "segm_mAP", "segm_mAP_50", "mAP", "AP50", "mIoU", "mAcc", "aAcc", "mDice")


@dataclass
class History:
    """What a training logged: ``losses`` by iteration, ``evaluations`` by epoch or iteration."""

    losses: dict[int, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    evaluations: dict[int, Figures] = field(default_factory=dict)


def read_history(work_dir: Path, first_run: str = "") -> History:
    """Collect the logs of a training and of the runs that resumed it.

    Args:
        work_dir: holds one folder a run, named by its time.
        first_run: name of the run that began the training; older ones are of other trainings.
    """
    history = History()
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        if path.parent.parent.name >= first_run:
            run = _read_run(path)
            for known, new in zip(vars(history).values(), vars(run).values(), strict=True):
                for step in [step for step in known if new and step >= min(new)]:
                    del known[step]  # a resumed run repeats what came after its checkpoint
                known.update(new)
    return history


def _read_run(path: Path) -> History:
    run = History()
    for row in _rows(path):
        step = int(row.get("step", 0))
        if "loss" in row:
            run.losses[step] = row["loss"]
            run.rates[step] = row.get("lr", math.nan)
        elif figures := numbers(row, skip=("step", "data_time", "time")):
            run.evaluations[step] = figures
    return run


def _rows(path: Path) -> list[dict[str, Any]]:
    """Whole lines: the last one may be half written, by a run that goes on or was killed."""
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def progress_of(work_dir: Path, unit: str) -> tuple[int, int, Figures]:
    """How far a training is that goes on, as its newest log says.

    Args:
        work_dir: of the training.
        unit: ``epoch`` or ``iteration``, which it counts.

    Returns:
        The epoch or iteration that was logged last, the last one after which there was an evaluation, and
        its figures; zeros before there is any.
    """
    at, evaluated, figures = 0, 0, {}
    for path in sorted(work_dir.glob("*/vis_data/scalars.json"))[-1:]:
        for row in _rows(path):
            if "loss" in row:
                at = int(row["epoch"] if unit == "epoch" else row["step"])
            elif found := numbers(row, skip=("step", "data_time", "time")):
                evaluated, figures = int(row.get("step", 0)), found
    return max(at, evaluated), evaluated, figures


def numbers(row: Mapping[str, Any], skip: tuple[str, ...] = ()) -> Figures:
    """The entries of ``row`` that are numbers, as floats."""
    return {
        key: float(value)
        for key, value in row.items()
        if key not in skip and isinstance(value, Real) and not isinstance(value, bool)
    }


def main_figures(metrics: Mapping[str, Any]) -> Figures:
    """The figures that people look at first, in the order of :data:`MAIN`, without their prefix."""
    by_name = {key.rpartition("/")[2]: value for key, value in numbers(metrics).items()}
    return {name: by_name[name] for name in MAIN if name in by_name} or by_name


def class_figures(metrics: Mapping[str, Any], classes: Sequence[str]) -> dict[str, float | None]:
    """Each class's AP (``coco/<class>_precision``) or IoU (``IoU.<class>``); None where there is none."""
    by_name = {key.removeprefix("coco/"): value for key, value in metrics.items()}
    found = {name: by_name.get(f"{name}_precision", by_name.get(f"IoU.{name}")) for name in classes}
    return {name: None if value is None or math.isnan(value) else value for name, value in found.items()}


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write ``content``, see :func:`plain`."""
    path.write_text(json.dumps(plain(content), indent=2) + "\n")
    return path


def plain(value: Any) -> Any:
    """``value`` as JSON has it: figures that are not numbers (NaN of an empty class) become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_curves(path: Path, history: History, steps_per_epoch: int | None) -> Path:
    """Draw loss, learning rate and main metrics over time.

    Args:
        path: the PNG file to write.
        history: see :func:`read_history`.
        steps_per_epoch: iterations in an epoch where evaluations are counted in epochs; None where
            they are counted in iterations.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    unit = steps_per_epoch or 1
    time = [step / unit for step in history.losses]
    left.plot(time, list(history.losses.values()), color="tab:blue", linewidth=1.2)
    left.set(title="training loss", ylabel="loss")
    rate = left.twinx()
    rate.plot(time, list(history.rates.values()), color="tab:gray", linewidth=0.8, linestyle="--")
    rate.set_ylabel("learning rate (dashed)", color="tab:gray")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    steps = sorted(history.evaluations)
    rows = [main_figures(history.evaluations[step]) for step in steps]
    for name in rows[-1] if rows else ():
        right.plot(steps, [row.get(name, math.nan) for row in rows], marker="o", markersize=3, label=name)
    right.set(title="validation", ylim=(0, None))
    if rows:
        right.legend(loc="best")
    for axes in (left, right):
        axes.set_xlabel("epoch" if steps_per_epoch else "iteration")
        axes.grid(alpha=0.3)
    figure.savefig(path)
    return path
