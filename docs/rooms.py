"""Writes ``docs/rooms.md``: the rooms of the package in the order in which they may import each other.

    python docs/rooms.py

What a room is for is the first line of its docstring. ``tests/test_rooms.py`` holds the imports to the order.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "rooms.md"
#: A room imports only those that stand before it.
ORDER = (
    *("errors", "kept", "weights", "ops", "registry", "catalog", "sources", "native", "tracing", "surgery"),
    *("taps", "feature_nets", "backbone", "contract", "interop", "inner_taps", "necks", "heads", "data"),
    *("compose", "finetune", "engine", "export", "leaderboard", "leaderboard_page", "advisor", "bench"),
    *("doctor", "cli"),
)
HEAD = """# Rooms

`mmbackbones.build(name)` goes down one corridor: `feature_nets/specs.py` has the row of the catalog, or
reads it off the network; `feature_nets/steps.py` is the list of steps that follow: opened once (`sources/`,
`native/`), made to take any size (`taps/`), traced once (`tracing/`), dilated, cut and converted as the
arguments ask (`surgery/`); `backbone.py` freezes it and loads its weights (`weights/`). What trains, exports
and talks stands behind it.

Each room imports only rooms above it: `tests/test_rooms.py` reads the imports. `python docs/corridor.py NAME`
shows which files a build goes through, and where it climbs back up. This page is what
`python docs/rooms.py` writes.

| room | what is in it |
| --- | --- |
"""


def file_of(room: str) -> Path:
    """The file whose docstring says what a room is for."""
    folder = ROOT / room if room == "necks" else ROOT / "plugin" / room
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def page() -> str:
    """The page as the docstrings have it now."""
    rows = []
    for room in ORDER:
        path = file_of(room)
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
        where = path.parent if path.name == "__init__.py" else path
        rows.append(f"| `{where.relative_to(ROOT)}` | {first.replace('``', '`').replace(':class:', '')} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
