"""The last stage of a board: its nets are timed together, whenever the board was killed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import leaderboard_fake as fake
import pytest

from mmbackbones.leaderboard.jobs import Outcome
from mmbackbones.leaderboard.latency import FOLDER, RUNS, time_nets
from mmbackbones.leaderboard.plan import Run, next_runs, untimed
from mmbackbones.leaderboard.records import read_records, run_folder, write_record


@dataclass
class Clock:
    """An executor that times nothing; it notes which runs were asked for together."""

    asked: list[list[str]]
    cause: str = ""
    slots: int = 1

    def start(self, run: Run, folder: Path) -> Clock:
        self.asked.append(json.loads((folder / RUNS).read_text()))
        return self

    def poll(self) -> Outcome:
        if self.cause:
            return Outcome(self.cause, "No room.")
        return Outcome(facts={"latency_ms": {key: {"p50": 1.0 + n} for n, key in enumerate(self.asked[-1])}})

    def stop(self) -> None:
        return


def test_all_nets_are_timed_together_when_all_runs_have_ended(tmp_path: Path) -> None:
    fake.play(tmp_path)
    board, clock = fake.board(), Clock([])
    assert time_nets(board, tmp_path, clock) == ""
    (keys,) = clock.asked
    assert [key.split("-")[0] for key in keys] == list(fake.NETS)
    assert {key.split("-")[2] for key in keys} == {"0"}  # of each net one run
    records = read_records(tmp_path)
    assert [records[key].latency_ms["p50"] for key in keys] == [1.0, 2.0, 3.0]
    assert sum(bool(record.latency_ms) for record in records.values()) == 3
    assert time_nets(board, tmp_path, clock) == ""  # no second time
    assert len(clock.asked) == 1
    assert next_runs(board, read_records(tmp_path)) == []  # no run is asked for again
    # killed between two records, or a net has come later: all once more, since figures compare in turn
    write_record(run_folder(tmp_path, keys[1]), replace(records[keys[1]], latency_ms={}))
    assert untimed(board, read_records(tmp_path)) == keys


def test_what_cannot_be_timed_costs_no_run_and_is_tried_again(tmp_path: Path) -> None:
    fake.play(tmp_path)
    before = read_records(tmp_path)
    said = time_nets(fake.board(), tmp_path, Clock([], "oom"))
    assert "Latency was not measured (oom): No room." in said
    assert str(tmp_path / FOLDER) in said
    assert read_records(tmp_path) == before
    assert time_nets(fake.board(), tmp_path, Clock([])) == ""


@pytest.mark.parametrize("count", [2, 40])
def test_few_models_are_in_memory_at_a_time(count: int, tmp_path: Path) -> None:
    board = fake.board(tuple(f"net{n}" for n in range(count)), ("sgd",), (0,))
    fake.play(tmp_path, board)
    clock = Clock([])
    time_nets(board, tmp_path, clock)
    assert sum(map(len, clock.asked)) == count
    assert max(map(len, clock.asked)) <= 16
