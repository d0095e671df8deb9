"""Which tests follow each other on one worker of pytest-xdist: those marked with the same ``xdist_group``.

Its own ``--dist loadgroup`` (3.8.0) writes the group into an attribute that pytest 9.2 does not read, and so
sends each test alone. Here the workers leave their groups in a file, which the scheduler reads.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling


def group_of(item: pytest.Item) -> str:
    """The name of its group, or of itself."""
    mark = item.get_closest_marker("xdist_group")
    return mark.args[0] if mark else item.nodeid


def write_groups(items: list[pytest.Item], folder: Path) -> None:
    """All workers write the same."""
    made = folder / f"groups-{os.getpid()}.json"
    made.write_text(json.dumps({item.nodeid: group_of(item) for item in items}), encoding="utf-8")
    made.replace(folder / "groups.json")


class GroupScheduling(LoadScopeScheduling):
    """Sends a group when a worker has nearly done what it has."""

    @functools.cached_property
    def groups(self) -> dict[str, str]:
        """The group of each test; it is read when all workers have collected."""
        text = (Path(os.environ["MMBACKBONES_CACHE"]) / "groups.json").read_text(encoding="utf-8")
        return json.loads(text)

    def _split_scope(self, nodeid: str) -> str:
        return self.groups[nodeid]
