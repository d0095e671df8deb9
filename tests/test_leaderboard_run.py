"""The loop of a board: what runs next, and that no kill loses, repeats or changes a run."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import leaderboard_fake as fake
import pytest

from mmbackbones.errors import InputError
from mmbackbones.leaderboard.lock import hold
from mmbackbones.leaderboard.loop import retry
from mmbackbones.leaderboard.outlook import planned
from mmbackbones.leaderboard.plan import best_trial, counted, next_runs
from mmbackbones.leaderboard.records import read_records, without_times
from mmbackbones.leaderboard.replay import board_of

SMALL = replace(fake.board(("alpha", "beta"), ("sgd",), (0, 1)), rungs=(2,))  # pauses and whole runs


def state(folder: Path) -> dict[str, Mapping[str, Any]]:
    return {key: without_times(record) for key, record in read_records(folder).items()}


def starts(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "starts.txt").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    fake.play(folder)
    return folder


def test_the_best_trial_goes_on(undisturbed: Path) -> None:
    records = read_records(undisturbed)
    board = fake.board()
    assert len(records) == 3 * 2 + 3 * 2  # all trials on the first seed, the best on two more
    for net in fake.NETS:
        best = max(fake.TRIALS, key=lambda trial: fake.metric_of(f"{net}-{trial}-0"))
        assert best_trial(board, net, records) == best
        assert [(one.trial, one.seed) for one in counted(board, records)[net]] == [
            (best, s) for s in (0, 1, 2)
        ]
    order = [key.rsplit("-", 1)[1] for key, *_ in starts(undisturbed)]
    assert order == sorted(order)  # seed by seed: what disturbs the machine falls on all nets
    assert [event["event"] for event in events(undisturbed)] == ["start", "end"] * 12


def test_nets_that_tie_get_more_seeds_than_the_others(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "board"
    copytree(undisturbed, folder)
    own = {net: range(5 if net == "beta" else 3) for net in fake.NETS}
    board = replace(fake.board(seeds=(0, 1, 2, 3, 4)), own_seeds=own)
    trial = best_trial(board, "beta", read_records(folder))
    missing = [f"beta-{trial}-3", f"beta-{trial}-4"]
    assert [run.key for run in next_runs(board, read_records(folder))] == missing
    assert planned(board, read_records(folder)) == planned(board) == 12 + 2
    fake.play(folder, board)
    records = read_records(folder)
    assert next_runs(board, records) == []
    assert [len(runs) for runs in counted(board, records).values()] == [3, 5, 3]
    again = board_of(records)  # without the spec
    assert (next_runs(again, records), counted(again, records)) == ([], counted(board, records))


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines() if line]


def test_next_is_a_function_of_the_records_alone(undisturbed: Path) -> None:
    """Whatever ended, in whatever order: replayed one by one, the same runs are asked for."""
    board, records = fake.board(), read_records(undisturbed)
    known: dict[str, Any] = {}
    while todo := next_runs(board, known):
        assert todo == next_runs(board, dict(reversed(known.items())))
        assert {run.key for run in todo}.isdisjoint(known)
        known[todo[-1].key] = records[todo[-1].key]  # the last first: no order is taken for granted
    assert known.keys() == records.keys()
    assert {run.key for run in next_runs(board, {}, ["alpha-sgd-0"])} == {
        f"{net}-{trial}-0" for net in fake.NETS for trial in fake.TRIALS
    } - {"alpha-sgd-0"}
    assert next_runs(fake.budgeted(5.0), known) == []
    half = dict(list(known.items())[:4])
    assert next_runs(fake.budgeted(5.0), half) != []
    assert next_runs(fake.budgeted(4.0), half) == []


@pytest.mark.parametrize("rungs", [(), (1, 2)], ids=["whole", "halving"])
def test_ten_kills_at_random_moments(rungs: tuple[int, ...], tmp_path: Path) -> None:
    draw = random.Random(5)
    command = [sys.executable, fake.__file__, str(tmp_path / "killed"), *map(str, rungs)]
    fake.play(tmp_path / "whole", fake.halved(*rungs))
    undisturbed, tmp_path = tmp_path / "whole", tmp_path / "killed"
    tmp_path.mkdir()
    killed = 0
    (tmp_path / "starts.txt").touch()
    for _ in range(10):
        before = len(starts(tmp_path))
        process = subprocess.Popen(command)
        while len(starts(tmp_path)) == before and process.poll() is None:
            time.sleep(0.001)  # python starts
        try:
            process.wait(draw.uniform(0, 0.04))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.wait()
    assert subprocess.run(command).returncode == 0
    assert killed >= 3
    assert state(tmp_path) == state(undisturbed)
    assert {ended for _, ended, _ in starts(tmp_path)} == {"False"}  # what had ended was not started again
    assert len(starts(tmp_path)) <= len(starts(undisturbed)) + killed
    last = events(tmp_path)[-1]  # the last run's end, unless a kill came between its record and this line
    assert last["event"] == "end" or last["key"] in state(tmp_path)


class Killed(BaseException):
    """Stands for a SIGKILL between two instructions."""


@pytest.mark.parametrize("full", [False, True], ids=["killed", "disk full"])
def test_a_kill_or_a_full_disk_at_any_write(
    full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.play(tmp_path / "whole", SMALL)
    sync, move = os.fsync, os.replace
    for stop in range(1000):
        calls = iter(range(1000))

        def fails(stop: int = stop, calls: Any = calls) -> None:
            if next(calls) == stop:
                raise OSError(errno.ENOSPC, "No space left on device") if full else Killed

        folder = tmp_path / str(stop)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda file: (fails(), sync(file)))
            patch.setattr(os, "replace", lambda *paths: (fails(), move(*paths)))
            try:
                fake.play(folder, SMALL)
                break
            except Killed:
                pass
            except (InputError, OSError) as error:
                said = str(error)
        assert not full or "No space left" in said
        fake.play(folder, SMALL)
        assert state(folder) == state(tmp_path / "whole")
        assert {ended for _, ended, _ in starts(folder)} == {"False"}
        assert all(event["event"] in ("start", "end") for event in events(folder))
    assert stop > 20  # there were that many moments


def test_a_failed_net_does_not_stop_the_others_and_can_be_retried(tmp_path: Path) -> None:
    fake.play(tmp_path, None, alpha_sgd_0="oom", alpha_adamw_0="nan", beta_sgd_0="timeout")
    records, board = read_records(tmp_path), fake.board()
    assert len(records) == 6 + 4  # alpha has no trial that could go on
    assert counted(board, records)["alpha"] == []
    assert best_trial(board, "beta", records) == "adamw"
    assert "batch" in records["alpha-sgd-0"].next_step
    assert records["alpha-sgd-0"].message == "on purpose"
    with pytest.raises(InputError, match="no such cause. Take of oom, nan, signal"):
        retry(board, tmp_path, ["cold"])
    assert [record.key for record in retry(board, tmp_path, ["oom"])] == ["alpha-sgd-0"]
    assert [run.key for run in next_runs(board, read_records(tmp_path))] == ["alpha-sgd-0"]
    assert (tmp_path / "runs/alpha-sgd-0/record.failed-1.json").is_file()
    (tmp_path / "runs/alpha-sgd-0/outcome.json").unlink()  # which a real executor does
    fake.play(tmp_path, None)
    assert len(read_records(tmp_path)) == 6 + 6


def test_the_second_leaderboard_says_who_holds_the_folder(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += "from mmbackbones.leaderboard.lock import hold\nimport time\n"
    code += (
        f"with hold(__import__('pathlib').Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"is held by process {other.pid} on \S+, since 2"):
            fake.play(tmp_path)
    finally:
        other.kill()
        other.wait()
    with hold(tmp_path):  # the system has taken it back
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_damaged_record_is_named(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "alpha-sgd-0"
    folder.mkdir(parents=True)
    for content, said in (("{", "is no record"), ('{"format": 99}', "has format 99")):
        (folder / "record.json").write_text(content)
        with pytest.raises(InputError, match=said):
            fake.play(tmp_path)
