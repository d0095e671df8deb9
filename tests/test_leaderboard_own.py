"""A board of users' own networks: the spec names their files, and each run's process knows them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from test_leaderboard_training import SHAPES  # noqa: F401 (for the fixture)
from test_leaderboard_training import SPEC as REAL_SPEC

from mmbackbones import InputError
from mmbackbones.leaderboard.jobs import LocalExecutor
from mmbackbones.leaderboard.plan import next_runs
from mmbackbones.leaderboard.resolve import resolve, with_halving
from mmbackbones.leaderboard.run import Trainings
from mmbackbones.leaderboard.spec import read_spec
from mmbackbones.leaderboard.worker import train_and_measure

SPEC = REAL_SPEC.replace(
    "backbones: [mobilenetv1_025]\nepochs: 3",
    "import: [board_nets.py]\nbackbones: [of_a_user, mobilenetv1_025]\nepochs: 1",
)
NETS = """\
from torch import nn
from mmbackbones import register_backbone


@register_backbone("of_a_user")
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        widths = (3, 8, 16, 24, 32)
        strides = (4, 2, 2, 2)
        self.stages = nn.ModuleList(
            nn.Conv2d(a, b, 2 * s - 1, s, s - 1) for a, b, s in zip(widths, widths[1:], strides)
        )

    def forward(self, x):
        maps = []
        for stage in self.stages:
            x = stage(x).relu()
            maps.append(x)
        return maps
"""


@pytest.fixture
def folder(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    (tmp_path / "board_nets.py").write_text(NETS)
    (tmp_path / "board.yaml").write_text(SPEC.replace("DATA", str(shapes)))
    yield tmp_path
    sys.modules.pop("board_nets", None)


def test_each_run_imports_them(folder: Path) -> None:
    spec = read_spec(folder / "board.yaml")
    found = resolve(spec, folder)
    trainings, run = Trainings(spec, found), found.board.run("of_a_user", "only", 0)
    (folder / "run").mkdir()
    trainings.prepare(run, folder / "run")
    assert Config.fromfile(folder / "run" / "config.py").custom_imports == {"imports": ["board_nets"]}
    job = LocalExecutor(("--task", "segmentation", "--device", "cpu")).start(run, folder / "run")
    while (outcome := job.poll()) is None:
        time.sleep(0.05)
    assert outcome.cause == "", (folder / "run" / "log.txt").read_text()
    assert outcome.facts["metric"] >= 0


def test_other_code_is_another_run(folder: Path) -> None:
    def keys() -> set[str]:
        sys.modules.pop("board_nets", None)
        return set(resolve(read_spec(folder / "board.yaml"), folder).board.keys.values())

    before = keys()
    assert keys() == before
    (folder / "board_nets.py").write_text(NETS.replace("(3, 8,", "(3, 12,") + "# wider\n")
    assert keys().isdisjoint(before)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[no_nets.py]", "board.yaml:4: import: .*no_nets.py: there is no such file"),
        ("board_nets.py", r"board.yaml:4: import: board_nets.py is no list; write \[my_nets.py\]"),
        ("[]", "'of_a_user' is unknown"),
    ],
)
def test_bad_imports_are_told_file_and_line(given: str, said: str, folder: Path) -> None:
    path = folder / "board.yaml"
    path.write_text(path.read_text().replace("[board_nets.py]", given))
    with pytest.raises(InputError, match=said):
        read_spec(path)


def test_halving_of_own_networks(folder: Path) -> None:
    """One that is promoted goes on from its pause, though its network is nobody else's."""
    path = folder / "board.yaml"
    path.write_text(path.read_text().replace("epochs: 1", "epochs: 3"))
    spec = read_spec(path)
    found = with_halving(resolve(spec, folder))
    trainings = Trainings(spec, found)
    run = found.board.run("of_a_user", "only", 0, rung=0)
    (folder / "run").mkdir()
    trainings.prepare(run, folder / "run")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    first, last = (
        train_and_measure(folder / "run", folder / "run" / "train", "segmentation", "cpu", until)
        for until in (run.until, None)
    )
    torch.set_num_threads(threads)
    assert (first.until, [row["iteration"] for row in first.facts["history"]]) == (2, [2])
    assert [row["iteration"] for row in last.facts["history"]] == [2, 4, 6]
    assert last.facts["history"][0] == first.facts["history"][0]
    paused = replace(trainings.describe(run), state="paused", **first.facts)
    other = replace(trainings.describe(found.board.run("mobilenetv1_025", "only", 0)), state="failed")
    records = {paused.key: paused, other.key: other}
    assert [one.until for one in next_runs(found.board, records)] == [4]  # the better half: it alone
