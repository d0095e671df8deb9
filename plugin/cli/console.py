"""What the commands show: the console, bars while files are read, the table of results."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from ..engine.train import Results

_COSTS = {
    "seconds": "seconds",
    "train_ms": "training, ms/image",
    "predict_ms": "predicting, ms/image",
    "memory_mib": "memory, MiB",
}
_WORST = 20  # classes that are named


def print_results(console: Console, results: Results) -> None:
    """A small table of figures, costs and files; paths are never cut."""
    from ..engine.report import main_figures

    known = any(value is not None for value in results.by_class.values())
    when, best = results.best
    rows = {f"last.pth, {results.last}": ""} if results.metrics and best else {}
    rows |= {name: f"{value:.3f}" for name, value in main_figures(results.metrics).items()}
    if known:
        rows["by class"] = _by_class(results.by_class)
    if best:
        shown = "  ".join(f"{name} {value:.3f}" for name, value in main_figures(best).items())
        rows[f"best.pth, {when}"] = shown
    rows |= {_COSTS[name]: f"{value:.4g}" for name, value in results.costs.items()}
    rows |= {name: str(shortest(path)) for name, path in results.files.items()}
    for name, value in rows.items():
        console.print(f"{name:<20} {value}", soft_wrap=True, highlight=False)


def _by_class(figures: dict[str, float | None]) -> str:
    """'cat 0.512, dog 0.478', worst last; of many classes the worst, as these want work."""
    known = sorted(((value, name) for name, value in figures.items() if value is not None), reverse=True)
    cut = f"the {_WORST} worst of {len(known)}: " if len(known) > _WORST else ""
    return cut + ", ".join(f"{name} {value:.3g}" for value, name in known[-_WORST:])


@contextmanager
def reading(console: Console, verb: str = "read") -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each kind of files that is being read; gone when all are. Outside of a terminal, nothing."""
    if not console.is_terminal:  # a bar that is told disable=True leaves an empty line with rich before 14.3
        yield lambda what, done, total: None
        return
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    with Progress(console=console, transient=True) as bar:

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(f"{verb} {what}", total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield show


@contextmanager
def said_once() -> Iterator[None]:
    """What is warned of meanwhile goes to standard error, each once and without a line of source code."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        finally:
            for text in dict.fromkeys(str(one.message) for one in caught):
                sys.stderr.write(f"{text}\n")


def new_console() -> Console:
    """Standard output of the first process; the others stay quiet."""
    from rich.console import Console

    first = True
    if "torch" in sys.modules:  # else there is no group of processes, and torch's import takes seconds
        from mmengine.dist import is_main_process

        first = is_main_process()
    # A fixed file: library output is redirected while a training runs.
    return Console(file=sys.stdout, quiet=not first)


def shortest(path: Path) -> Path:
    """``path`` relative to the current folder if it is inside."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
