"""Writes the tables of the pages anew: ``python docs/tables.py``.

A table stands between ``<!-- mmbackbones ARGUMENTS -->`` and ``<!-- end -->`` and is what that command
prints. ``tests/test_house.py`` fails when one is old.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = re.compile(r"(<!-- mmbackbones ([^>]*) -->\n).*?(<!-- end -->)", re.S)


def fresh(text: str) -> str:
    """``text`` with every table as its command prints it now."""

    def run(match: re.Match[str]) -> str:
        command = [sys.executable, "-m", "mmbackbones.cli", *match[2].split()]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return f"{match[1]}\n{done.stdout.strip()}\n\n{match[3]}"

    return TABLE.sub(run, text)


def pages() -> list[Path]:
    """The pages that hold tables."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    return [page for page in found if TABLE.search(page.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    for page in pages():
        page.write_text(fresh(page.read_text(encoding="utf-8")), encoding="utf-8")
