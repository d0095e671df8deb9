"""Writes ``leaderboard.html``: one file, whose content security policy lets no request leave it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment

from ..leaderboard.records import write_atomically
from ..leaderboard.standings import Results
from .content import content

PAGE = "leaderboard.html"
#: The script's parts, in the order in which they need each other; the second list wants a net with a result,
#: the scatter of costs some cost.
_PARTS = ("data", "state", "plot")
_OF_ROWS = ("table", "curves", "classes")
_LAST = ("drawer", "main")
_SECTIONS = (
    *(("front", "Front"), ("table", "Table"), ("curves", "Curves"), ("classes", "Classes")),
    *(("pictures", "Pictures"), ("paused", "Halving"), ("failures", "Failures"), ("diff", "Diff")),
    ("conditions", "Conditions"),
)


def write_page(results: Results) -> Path:
    """Write the page of a board into its folder."""
    path = results.folder / PAGE
    write_atomically(path, page(results))
    return path


def page(results: Results) -> str:
    """The page as text."""
    board, rows = content(results), results.rows
    there = {
        "front": board["costs"],
        "classes": rows and board["classes"],
        "pictures": board["pictures"],
        "paused": board["paused"],
        "failures": results.failed or results.refused,
        "diff": len(results.records) > 1,
        "conditions": True,
    }
    parts = (*_PARTS, *(_OF_ROWS if rows else ()), *(("scatter",) if board["costs"] else ()), *_LAST)
    script = "\n".join(_asset(f"{part}.js") for part in parts)
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(_asset("page.html"))
        .render(
            board=board,
            sections=[one for one in _SECTIONS if there.get(one[0], rows)],
            style=_asset("style.css"),
            script=f'"use strict";\n(() => {{\n{script}\n}})();',
        )
        + "\n"
    )


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")
