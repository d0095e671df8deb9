"""How much of a board is left, and how long that takes: with halving, with forecasts, and as told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import leaderboard_fake as fake
import pytest

from mmbackbones.leaderboard.outlook import parts_left, planned, time_left
from mmbackbones.leaderboard.plan import Board
from mmbackbones.leaderboard.records import Record, read_records

NETS = ("a", "b", "c", "d")
BOARD = replace(fake.board(NETS, ("sgd", "adamw"), (0, 1, 2)), length=3)


def shares(board: Board, records: dict[str, Record]) -> float:
    return sum(part.share for part in parts_left(board, records))


def test_halving_leaves_less_to_do() -> None:
    assert shares(BOARD, {}) == 4 * 2 + 4 * 2
    assert planned(BOARD) == 16
    halved = replace(BOARD, rungs=(0, 1, 2))
    assert shares(halved, {}) == pytest.approx(8 / 3 + 2 / 3 + 1 / 3 + 1 * 2)  # 4 nets, 2, 1, two seeds more
    assert planned(halved) == 3


@pytest.mark.parametrize("rungs", [(), (0,), (1, 2), (0, 1, 2)], ids=str)
def test_what_is_left_shrinks_to_nothing_as_the_board_runs(rungs: tuple[int, ...], tmp_path: Path) -> None:
    """At each end of a run what is left is what then really runs."""
    board = replace(BOARD, rungs=rungs)
    left: list[tuple[float, int]] = []

    def note(run, record: Record | None) -> None:
        if record is not None:
            records = read_records(tmp_path)
            left.append((shares(board, records), planned(board, records)))

    fake.run_board(board, tmp_path, fake.FakeExecutor({}), fake.describe, say=note, pause=0.0005)
    assert [share for share, _ in left] == sorted((share for share, _ in left), reverse=True)
    assert left[-1][0] == 0
    assert time_left(board, read_records(tmp_path)) is None
    assert len({count for _, count in left}) == 1  # nothing failed, and the count was right from the start
    assert left[-1][1] == sum(one.state == "ok" for one in read_records(tmp_path).values())


def record(net: str, seed: int = 0, trial: str = "sgd", **facts) -> tuple[str, Record]:
    run = BOARD.run(net, trial, seed)
    return run.key, replace(fake.describe(run), **facts)


def test_a_run_takes_as_long_as_the_nets_others_or_as_its_probe_says() -> None:
    board = replace(BOARD, backbones=("a", "b"), trials=("sgd",), seeds=(0, 1), rungs=(0,))
    assert time_left(board, {}) is None  # nothing is known
    probed = dict(
        record(net, state="paused", forecast={"seconds": seconds})
        for net, seconds in (("a", 10.0), ("b", 100.0))
    )
    assert time_left(board, probed) == 2 * 10 + 2 * 100
    ended = probed | dict([record("b", state="ok", metric=1.0, seconds=40.0)])
    assert time_left(board, ended) == 2 * 10 + 40  # it was faster than foretold
    assert time_left(board, ended, at_a_time=2) == 30
    assert time_left(replace(board, seconds=55.0), ended) == 15  # of the budget 40 are spent
    known = dict([record("a", state="ok", metric=1.0, seconds=20.0)])
    assert time_left(replace(board, rungs=()), known) == 3 * 20
    lost = dict([record("a", state="failed", cause="oom"), record("b", state="ok", metric=1.0, seconds=5.0)])
    assert time_left(replace(board, rungs=()), lost) == 5  # the second seed of b alone
