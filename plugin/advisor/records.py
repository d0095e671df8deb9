"""Records of trainings, and the boards that they form: nets that were trained alike on the same data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, pvariance, variance
from typing import Any

from ..catalog import catalog_names, row_of
from ..catalog.selection import BACKBONES, UNSTATED
from ..errors import InputError
from ..leaderboard.records import RECORD, Record, read_record

#: Of the figures that a metafile has, the first is taken.
_SHIPPED_METRICS = ("box AP", "mask AP", "mIoU", "box AP50")
#: Fewer nets than this are no board: how far one stands above their mean says nothing.
_FEWEST = 3


@dataclass(frozen=True)
class Measured:
    """One training's figure.

    Attributes:
        backbone: The catalog's name where it has the net.
        task: ``detection``, ``instance`` or ``segmentation``.
        model: Architecture or config.
        data: What it was trained on.
        alike: All else that has to be equal for figures to be compared, as image size and epochs.
        metric_name: What the figure is; more is better.
        metric: The figure.
        trial: Which point of a grid of optimisers.
        seed: Of everything random.
        gflops: Billions of multiply-adds of the backbone at 224 x 224; 0 where the record has none.
        licence: Of the weights that it started from; empty for random ones.
        scratch: Whether it started from random weights.
        how: What else there is to say of the training, for the user.
        source: Where it stands.
        own: Whether the user gave it.
    """

    backbone: str
    task: str
    model: str
    data: str
    alike: tuple[str, ...]
    metric_name: str
    metric: float
    trial: str = ""
    seed: int = 0
    gflops: float = 0.0
    licence: str = ""
    scratch: bool = False
    how: str = ""
    source: str = ""
    own: bool = False


@dataclass(frozen=True)
class Board:
    """Nets that were trained alike.

    Attributes:
        task: Of all of them.
        own: Whether the user gave it.
        nets: Of each net the figures of its best trial, one for each seed.
    """

    task: str
    own: bool
    nets: Mapping[str, tuple[Measured, ...]]

    @property
    def scratch(self) -> bool:
        """Whether its nets started from random weights."""
        return all(one.scratch for seeds in self.nets.values() for one in seeds)

    @cached_property
    def means(self) -> dict[str, float]:
        """The mean over the seeds of each net."""
        return {name: fmean(one.metric for one in seeds) for name, seeds in self.nets.items()}

    @cached_property
    def spread(self) -> float:
        """Standard deviation over the nets; 0 where too few are compared."""
        return pvariance(self.means.values()) ** 0.5 if len(self.nets) >= _FEWEST else 0.0

    @cached_property
    def standings(self) -> dict[str, float]:
        """How many spreads a net is above the mean of the nets; empty where too few are compared."""
        middle, spread = fmean(self.means.values()), self.spread
        return {name: (value - middle) / spread for name, value in self.means.items()} if spread else {}

    @cached_property
    def noise(self) -> float:
        """Variance of one seed's figure in the same measure, pooled over the nets that have several.

        Where none has, it is that of so few nets' spread: the more nets, the less of it will be chance.
        """
        seen = [variance([one.metric for one in seeds]) for seeds in self.nets.values() if len(seeds) > 1]
        return fmean(seen) / self.spread**2 if seen and self.spread else 1 / max(1, len(self.nets) - 1)


def boards(figures: Iterable[Measured]) -> list[Board]:
    """The boards that ``figures`` form."""
    found: dict[tuple[Any, ...], dict[str, list[Measured]]] = {}
    for one in figures:
        key = (one.task, one.own, one.model, one.data, one.metric_name, one.alike)
        found.setdefault(key, {}).setdefault(one.backbone, []).append(one)
    return [
        Board(task, own, {name: _best_trial(runs) for name, runs in nets.items()})
        for (task, own, *_), nets in found.items()
    ]


def _best_trial(runs: Sequence[Measured]) -> tuple[Measured, ...]:
    """The runs of the trial with the most seeds, and of these with the best mean."""
    trials: dict[str, list[Measured]] = {}
    for one in runs:
        trials.setdefault(one.trial, []).append(one)

    def standing(trial: list[Measured]) -> tuple[int, float]:
        return len(trial), fmean(one.metric for one in trial)

    best = max(trials.values(), key=standing)
    return tuple(best)


def read_records(folder: Path) -> list[Measured]:
    """What was measured in the runs of a leaderboard: each ``record.json`` below ``folder``.

    Runs that failed have no figure and are left out.

    Raises:
        InputError: no such folder, no record in it, or one that cannot be read.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"--records {folder}: there is no such folder. Give a leaderboard's.")
    paths = sorted(folder.rglob(RECORD))
    if not paths:
        raise InputError(f"--records {folder}: no {RECORD} is below it. Give the folder of a leaderboard.")
    read = [(path, read_record(path)) for path in paths]
    return [_measured(path, record) for path, record in read if record.metric is not None]


def _measured(path: Path, record: Record) -> Measured:
    return Measured(
        backbone=_known_name(record.backbone),
        task=record.task,
        model=record.model,
        data=record.data,
        alike=(record.image_size, str(record.epochs), str(record.batch_size), str(record.rung)),
        metric_name=record.metric_name,
        metric=record.metric or 0.0,
        trial=record.trial,
        seed=record.seed,
        gflops=_at_224(record),
        licence=record.weights.get("licence") or UNSTATED if record.weights else "",
        scratch=not record.weights,
        source=str(path),
        own=True,
    )


def _at_224(record: Record) -> float:
    """The backbone's multiply-adds, brought from the image's area to 224 x 224, in billions."""
    wide, times, high = record.image_size.partition("x")
    macs = record.macs or 0
    return macs / 1e9 * 224**2 / (int(wide) * int(high)) if times and macs else 0.0


def _known_name(name: str) -> str:
    return row_of(name).name if name in catalog_names() else name


def shipped_boards() -> list[Path]:
    """Folders of the leaderboards that the package ships: ``record.json`` and scores of each run."""
    folder = Path(__file__).with_name("boards")
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


@cache
def shipped_records() -> tuple[Measured, ...]:
    """The trainings that came with the package: its boards, and those of ``docs/results.md``."""
    found = [
        replace(
            one,
            data=folder.name,
            how=_conditions(one),
            source=f"board {folder.name} of this package",
            own=False,
        )
        for folder in shipped_boards()
        for one in read_records(folder)
    ]
    return (*found, *_of_metafiles())


def _conditions(one: Measured) -> str:
    size, epochs, *_ = one.alike
    start = "from random weights, " * one.scratch
    return f"{start}{epochs} epochs at {size}"


def _of_metafiles() -> tuple[Measured, ...]:
    """Those of ``docs/results.md``, as the metafiles of the shipped configs have them.

    Configs whose names differ in the backbone alone were trained alike.
    """
    kinds = {
        "Object Detection": "detection",
        "Instance Segmentation": "instance",
        "Semantic Segmentation": "segmentation",
    }
    configs = find_spec("mmbackbones.configs")
    if configs is None or configs.origin is None:
        return ()
    found = []
    for path in sorted(Path(configs.origin).parent.glob("*/metafile.yml")):
        for entry in _load_yaml(path)["Models"]:
            parts = entry["Name"].split("_")
            scratch = "-scratch" in parts[1]
            label = re.sub(r"-d(8|16)$", "", parts[1].replace("-scratch", ""))
            for result in entry.get("Results", ()):
                name = next(metric for metric in _SHIPPED_METRICS if metric in result["Metrics"])
                found.append(
                    Measured(
                        backbone=BACKBONES[label].name,
                        task=kinds[result["Task"]],
                        model=parts[0],
                        data=result["Dataset"],
                        alike=("_".join(parts[2:]),),
                        metric_name=name,
                        metric=result["Metrics"][name],
                        scratch=scratch,
                        how="from random weights" * scratch,
                        source=result["Source"],
                    )
                )
    return tuple(found)


def _load_yaml(path: Path) -> Any:
    import yaml

    loader = getattr(
        yaml, "CSafeLoader", yaml.SafeLoader
    )  # written in C where libyaml is there, tenfold as fast
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a SafeLoader
