"""``python -m mmbackbones.bench.forecasts BOARD ...``: what probes foretold of runs, and what they took.

The aim is time within 20 % and memory within 15 % for nine runs of ten. A run without a probe of its own, as
those of later seeds, is held against that of its net and trial.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..engine.timing import print_table
from ..leaderboard.records import Record, read_records
from .machine import write_figures

#: What is foretold: field of the record, unit, and how far off it may be, as a part.
FORETOLD = (("seconds", "s", 0.20), ("memory_mib", "MiB", 0.15))
_FEWEST = 9  # runs of which a share can be told


@dataclass(frozen=True)
class Run:
    """One run that was trained to its end.

    Attributes:
        name: Backbone, trial and seed.
        foretold: Of each field of :data:`FORETOLD`.
        took: The same, as it came.
    """

    name: str
    foretold: dict[str, float]
    took: dict[str, float]

    def error(self, what: str) -> float:
        """How much more was foretold than it took, as a part of that."""
        return self.foretold[what] / self.took[what] - 1


def compared(records: Iterable[Record]) -> list[Run]:
    """The runs that ended well and have a forecast, in the order of their names."""
    known = list(records)
    probes = {(one.backbone, one.trial): one.forecast for one in known if "seconds" in one.forecast}
    found = []
    for one in known:
        foretold = probes.get((one.backbone, one.trial))
        took = {"seconds": one.seconds, "memory_mib": one.memory_mib}
        values = {key: value for key, value in took.items() if value}
        if one.state == "ok" and foretold and len(values) == len(took):
            name = f"{one.backbone}, {one.trial}, seed {one.seed}"
            found.append(Run(name, {what: foretold[what] for what, *_ in FORETOLD}, values))
    return sorted(found, key=lambda run: run.name)


def told(runs: Sequence[Run]) -> list[str]:
    """One line for each of :data:`FORETOLD`: how many runs it was right for."""
    lines = []
    for what, _, most in FORETOLD:
        near = sum(abs(run.error(what)) <= most for run in runs)
        lines.append(f"{what} within {100 * most:.0f} %: {near} of {len(runs)} runs")
    return lines


def main(
    boards: Annotated[list[Path], typer.Argument(help="Folders of boards that were run with probes.")],
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Print the table of all runs, and how many forecasts were right."""
    runs = compared(record for board in boards for record in read_records(board).values())
    if len(runs) < _FEWEST:
        raise typer.BadParameter(
            f"{len(runs)} runs have a forecast and came to their end; {_FEWEST} are needed to tell a share. "
            f"Run a board with --probe."
        )
    head = [
        "run",
        *(word for what, unit, _ in FORETOLD for word in (f"{what} foretold", f"took, {unit}", "off")),
    ]
    rows = [
        [
            run.name,
            *(
                word
                for what, *_ in FORETOLD
                for word in (
                    f"{run.foretold[what]:.0f}",
                    f"{run.took[what]:.0f}",
                    f"{100 * run.error(what):+.0f} %",
                )
            ),
        ]
        for run in runs
    ]
    print_table("Forecasts of probes", head, rows)
    for line in told(runs):
        typer.echo(line)
    write_figures(out, [[run.name, run.foretold, run.took] for run in runs])


if __name__ == "__main__":
    typer.run(main)
