"""What halving would have saved and lost: the same function that runs a board says it of one that was run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import leaderboard_fake as fake
import numpy as np
import pytest
import typer

from mmbackbones.bench import halving as bench
from mmbackbones.leaderboard.records import read_records, run_folder, write_record
from mmbackbones.leaderboard.replay import board_of, replayed
from mmbackbones.leaderboard.scores import AreaScores, save_scores

IMAGES = 40
#: mIoU after each of three epochs; the best net in the end begins slowly.
CURVES = {
    "early": (30.0, 35.0, 40.0),
    "steady": (25.0, 40.0, 60.0),
    "weak": (10.0, 15.0, 20.0),
    "late": (5.0, 30.0, 80.0),
}


def write_board(folder: Path, curves: dict[str, tuple[float, ...]]) -> Path:
    which = fake.board(tuple(curves), ("sgd",), (0, 1, 2))
    for (net, trial, seed), key in which.keys.items():
        rng = np.random.default_rng(list(key.encode()))
        union = np.full((IMAGES, 2), 1000)
        areas = (union * (curves[net][-1] / 100 + rng.normal(0, 0.01, union.shape))).astype(int)
        scores = AreaScores(areas, union)
        record = replace(
            fake.describe(which.run(net, trial, seed)),
            state="ok",
            seconds=3.0,
            metric=float(scores.metric(np.ones((1, IMAGES), int))[0]),
            history=[{"epoch": n, "mIoU": value} for n, value in enumerate(curves[net], 1)],
        )
        write_record(run_folder(folder, key), record)
        save_scores(run_folder(folder, key) / "scores.npz", scores)
    return folder


def test_cost_and_choice_of_each_way(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_board(tmp_path / "board", CURVES)
    bench.main([folder], tmp_path / "out.json")
    assert "halving, first seed" in capsys.readouterr().out
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [row[1] for row in rows] == ["whole", "whole, first seed", "halving", "halving, first seed"]
    seconds = {row[1]: 36 * row[2] for row in rows}
    # two nets for an epoch, one for two, one to its end, which then gets the other two seeds
    assert seconds == pytest.approx(
        {"whole": 36, "whole, first seed": 12, "halving": 13, "halving, first seed": 7}
    )
    assert [(row[3], row[5]) for row in rows] == [("late", True)] * 2 + [("steady", False)] * 2
    assert rows[0][4] == 0
    assert rows[2][4] == pytest.approx(20, abs=1)


def test_a_board_that_was_not_run_whole_is_refused(tmp_path: Path) -> None:
    board = replace(fake.board(("a", "b", "c"), ("sgd",), (0,)), rungs=(1,))
    fake.play(tmp_path / "halved", board)
    folder = tmp_path / "board"
    fake.play(folder, fake.board(("a", "b"), ("sgd", "adamw"), (0, 1)))
    shutil.rmtree(run_folder(folder, "a-adamw-0"))  # which trial of a is the best is not known
    for one in (tmp_path / "halved", folder):
        with pytest.raises(typer.BadParameter, match=f"{one.name} was not run whole. Go on with it first"):
            bench.main([one])


def test_halving_of_records_is_halving_itself(tmp_path: Path) -> None:
    """The same runs as a board that paused in truth, each as far; a seed that is not there is stood for."""
    nets, trials, seeds = ("a", "b", "c", "d", "e"), ("sgd", "adamw"), (0, 1)
    board = fake.board(nets, trials, seeds)
    fake.play(tmp_path / "whole", board)
    whole = read_records(tmp_path / "whole")
    halved = replace(board, rungs=(1, 2))
    fake.play(tmp_path / "halved", halved)
    found = replayed(halved, {key: replace(one, seconds=3.0) for key, one in whole.items()})
    truth = read_records(tmp_path / "halved")
    assert found.keys() == truth.keys()
    for key, one in truth.items():
        assert (one.state, len(one.history)) == (found[key].state, found[key].seconds)
        assert key not in whole or one.history == found[key].history
    assert found.keys() - whole.keys()  # another trial was ahead at the first rung than in the end
    assert board_of(whole).seeds == seeds
