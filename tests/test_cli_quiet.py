"""What commands do not show: what others warn of when imported, and bars where there is no terminal."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from mmbackbones.cli.console import reading

CODE = """
import sys
from mmbackbones.cli import main
try:
    main(["--help"])
except SystemExit:
    sys.path.insert(0, sys.argv[1])
import mmdet.old, mine
"""


def test_what_python_says_of_their_files_when_it_compiles_them(tmp_path: Path) -> None:
    """Of mmdet's it is much, and the user can mend none of it."""
    for name in ("mmdet/__init__", "mmdet/old", "mine"):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("found = 1 is 1\n")
    words = [sys.executable, "-B", "-c", CODE, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "SyntaxWarning" in line]
    assert [Path(line.partition(":")[0]).name for line in said] == ["mine.py"]


def test_no_empty_line_where_no_bar_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As rich before 14.3 leaves one behind a disabled bar: it stood before all that was said."""

    def stop(self: Progress) -> None:
        self.live.stop()
        self.console.print()

    monkeypatch.setattr(Progress, "stop", stop)
    console = Console(file=StringIO())
    with reading(console) as progress:
        progress("labels", 1, 2)
    console.print("first")
    assert console.file.getvalue() == "first\n"
