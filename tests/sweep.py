"""``make sweep``: every check on every name of the catalog, noted as it goes, so that it can go on later.

Each check that is done adds a line to the file that MMBACKBONES_SWEEP_FILE names. What has passed with the
same code of the package is left out the next time; after a change of a test, start over.
``docs/sweep_table.py`` makes the table of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import mmbackbones

ROOT = Path(__file__).parents[1]
FILE = Path(os.environ["MMBACKBONES_SWEEP_FILE"])
#: What the outcome of a check depends on.
SOURCES = tuple(
    f"plugin/{room}*.py"
    for room in (
        "",
        "catalog/",
        "feature_nets/",
        "native/",
        "sources/",
        "surgery/",
        "taps/",
        "tracing/",
        "weights/",
    )
)
_REASON = 300  # characters kept of why a check failed


def code_state() -> str:
    """A short word for the code that is tested: its commit where git knows it, and a digest of it."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return f"{done.stdout.strip() or 'unknown'}:{digest.hexdigest()[:10]}"


class Sweep:
    """The plugin of pytest that runs what is left, the small nets first, and notes each outcome."""

    def __init__(self, config: pytest.Config) -> None:
        self.state = code_state()
        self.worker: str = getattr(config, "workerinput", {}).get("workerid", "")  # of pytest-xdist

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the checks that have not passed yet; those of a name follow each other and share its net."""
        swept = [item for item in items if swept_name(item)]
        if self.worker in ("", "gw0"):
            self._note(sought=sorted({(swept_name(item), check_of(item)) for item in swept}))
        passed = self._passed()
        left = [item for item in swept if item.nodeid not in passed]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(left)])
        left.sort(key=lambda item: (mmbackbones.get_spec(swept_name(item)).params, swept_name(item)))
        for item in left:
            item.add_marker(pytest.mark.xdist_group(swept_name(item)))
            item.user_properties += [("name", swept_name(item)), ("check", check_of(item))]
        items[:] = left

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a check that is done; a failure in a fixture counts too."""
        properties = dict(report.user_properties)
        done = report.when == "call" or report.failed or report.skipped
        if self.worker or "name" not in properties or not done:
            return
        self._note(
            id=report.nodeid.partition("@")[0],  # behind it xdist writes the group
            name=properties["name"],
            check=properties["check"],
            outcome=report.outcome,
            seconds=round(report.duration, 2),
            reason=reason(report),
        )

    def _passed(self) -> set[str]:
        """The checks that this code has passed, or that do not apply to it."""
        digest = self.state.partition(":")[2]
        lines = (line for line in read() if digest in line["state"])
        return {line["id"] for line in lines if line.get("outcome") in ("passed", "skipped")}

    def _note(self, **line: Any) -> None:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        with open(FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps({"state": self.state, **line}) + "\n")


def swept_name(item: pytest.Item) -> str:
    """The catalog's name that a test is about; empty if it is not about one."""
    name = getattr(item, "callspec", None) and item.callspec.params.get("name")
    return name if name in mmbackbones.list_backbones() else ""


def check_of(item: pytest.Item) -> str:
    """The test's name without ``test_`` and parameters."""
    return item.originalname.removeprefix("test_")


def reason(report: pytest.TestReport) -> str:
    """Why a check failed or was skipped: the last line that says it."""
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return " ".join(str(crash.message).split())[:_REASON] if crash else ""


def read() -> list[dict[str, Any]]:
    """All lines noted so far, oldest first."""
    if not FILE.is_file():
        return []
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
