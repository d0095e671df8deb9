"""The boards that the package ships: whole, of their specs, and told of in docs/boards.md."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import yaml
from cases import swept

from mmbackbones.advisor.records import shipped_boards
from mmbackbones.leaderboard.plan import counted, next_runs
from mmbackbones.leaderboard.records import read_records
from mmbackbones.leaderboard.replay import board_of


@pytest.mark.parametrize("folder", shipped_boards(), ids=lambda folder: folder.name)
def test_a_shipped_board_is_whole_and_that_of_its_spec(folder: Path, root: Path) -> None:
    records = read_records(folder)
    board = board_of(records)
    spec = yaml.safe_load((root / "docs" / "leaderboard" / f"{folder.name}.yaml").read_text())
    assert sorted(board.backbones) == sorted(spec["backbones"])
    assert sorted(board.trials) == sorted(spec["trials"])
    expected = {net: spec.get("more_seeds", {}).get(net, spec["seeds"]) for net in board.backbones}
    assert {net: len(runs) for net, runs in counted(board, records).items()} == expected
    assert next_runs(board, records) == []
    assert {record.state for record in records.values()} == {"ok"}
    for key in records:
        assert (folder / "runs" / key / "scores.npz").is_file()
    assert (root / "docs" / "leaderboard" / f"{folder.name}.html").is_file()


@swept("resamples all runs of the boards, 20 s")
def test_the_page_is_what_the_boards_say(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root / "docs"))
    made = runpy.run_path(str(root / "docs" / "boards.py"))
    assert made["page"]() == made["PAGE"].read_text(encoding="utf-8")
