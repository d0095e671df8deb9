"""What others warn of while they are imported: the commands do not show it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
