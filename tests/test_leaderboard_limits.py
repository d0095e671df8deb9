"""What is known of nets before they are trained: the limit of latency, and what foretells a board."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import leaderboard_fake as fake
import numpy as np
import pytest

from mmbackbones.leaderboard.jobs import Outcome
from mmbackbones.leaderboard.plan import Board, finalists, next_runs, refused
from mmbackbones.leaderboard.prior import hits, promising, told_of_priors
from mmbackbones.leaderboard.records import Record, read_records
from mmbackbones.leaderboard.replay import board_of
from mmbackbones.leaderboard.scores import AreaScores, save_scores
from mmbackbones.leaderboard.standings import results_of
from mmbackbones.leaderboard.tables import write_tables
from mmbackbones.leaderboard_page.content import content

NETS = ("a", "b", "c", "d", "e")
LATENCY = dict(zip(NETS, (9.0, 31.0, 12.0, 45.0, 20.0), strict=True))


class Job(fake.FakeJob):
    """Its probe measures the latency of :data:`LATENCY`; its end leaves scores."""

    def outcome(self, done: int) -> Outcome:
        found = super().outcome(done)
        if self.run.until == 0:
            known = {"seconds": 9.0, "memory_mib": 5.0, "latency_ms": LATENCY[self.run.backbone]}
            return Outcome(facts={"forecast": known}, until=0)
        save_scores(self.folder / "scores.npz", AreaScores(np.ones((4, 2), int), np.full((4, 2), 2)))
        return replace(found, facts={**found.facts, "by_class": {}})


class Executor(fake.FakeExecutor):
    def start(self, run, folder: Path) -> Job:
        super().start(run, folder)
        return Job(run, folder, "")


def play(board: Board, folder: Path) -> dict[str, Record]:
    def describe(run) -> Record:
        limit = {} if board.max_latency == float("inf") else {"max_latency_ms": board.max_latency}
        return replace(fake.describe(run), forecast=limit, task="segmentation", model="swiftnet")

    fake.run_board(board, folder, Executor({}), describe, pause=0.0005)
    return read_records(folder)


def test_a_net_slower_than_the_limit_is_a_row_with_the_reason_and_never_trained(tmp_path: Path) -> None:
    """Also with halving, where it takes no place of those that go on."""
    board = replace(fake.board(NETS, ("sgd", "adamw"), (0,)), rungs=(0, 1), max_latency=30.0)
    records = play(board, tmp_path)
    assert [one.backbone for one in refused(board, records)] == ["b", "d"]
    starts = [line.split() for line in (tmp_path / "starts.txt").read_text().splitlines()]
    assert {key[0] for key, _, until in starts if until != "0"} == {"a", "c", "e"}
    assert len(finalists(board, records)) == 2  # the better half of three, not of five
    for found in (
        results_of(board, records, tmp_path),
        results_of(board_of(records), records, tmp_path),  # from the folder alone
    ):
        lines = write_tables(found)
        slow = "Left out as slower than limits.max_latency: b (31.0 ms an image), d (45.0 ms an image)."
        assert slow in lines
        page = content(found)
        rows = {one["backbone"]: one["message"] for one in page["failures"]}
        assert rows == {net: f"{LATENCY[net]} ms an image, limits.max_latency is 30." for net in "bd"}
        assert found.failed == ()  # it is no failure, and the exit code is 0
        assert "| 0 | latency | 31.0 ms an image" in (tmp_path / "leaderboard.md").read_text()
    wider = replace(board, max_latency=40.0)
    assert {run.backbone for run in next_runs(wider, records)} == {"b"}  # without another probe
    assert {run.until for run in next_runs(wider, records)} == {1}


def nets_of(size: str, transfer: str, metric: str) -> dict[str, list[Record]]:
    """Nets a, b, ..., whose figures are the digits; a dash is a net without a transfer score."""
    found = {}
    for net, params, score, value in zip("abcdefgh", size, transfer, metric, strict=False):
        forecast = {"params": int(params)} | ({} if score == "-" else {"transfer": float(score)})
        found[net] = [
            Record(
                net, "", "", net, "sgd", 0, "ok", metric=float(value), params=int(params), forecast=forecast
            )
        ]
    return dict(sorted(found.items(), key=lambda one: -(one[1][0].metric or 0)))


def test_promising_nets_come_first_by_transfer_and_size_together() -> None:
    assert promising(nets_of("1234", "----", "4321")) == list("abcd")  # never by size alone
    assert promising(nets_of("1234", "4213", "4321"))[0] == "d"  # largest, and second by transfer
    assert promising(nets_of("1294", "12-3", "4321"))[0] == "c"  # without a score by its size
    board = replace(fake.board(("a", "b", "c"), ("sgd",), (0,)), rungs=(0,))
    records = {}
    for net, size, score in (("a", 1, 0.1), ("b", 2, 0.3), ("c", 3, 0.2)):
        forecast = {"params": size, "transfer": score}
        key = board.keys[net, "sgd", 0]
        records[key] = replace(fake.describe(board.run(net, "sgd", 0)), state="paused", forecast=forecast)
    assert [run.backbone for run in next_runs(board, records)] == ["b", "c", "a"]


def test_the_hit_rate_of_transfer_stands_beside_that_of_size() -> None:
    found = {hit.by: hit for hit in hits(nets_of("1234", "4312", "8765"), ["a", "b"])}
    assert (found["transfer score"].tau, found["size"].tau) == (pytest.approx(0.67, abs=0.01), -1.0)
    assert (found["transfer score"].first, found["transfer score"].tied) == ("a", True)
    assert (found["size"].first, found["size"].place, found["size"].tied) == ("d", 4, False)
    said = told_of_priors(list(found.values()))
    assert "over 4 nets: by transfer score 0.67 (its first, a, is among the best); by size -1.00 (its" in said
    assert "first, d, is number 4); by both" in said
    assert hits(nets_of("1234", "43--", "8765"), ["a"]) == []  # of two no order can be told
    said = told_of_priors(hits(nets_of("1234", "431-", "8765"), ["a"]))
    assert "over 3 nets (of the other 1 the transfer score is not measured)" in said


def test_the_hit_rate_is_in_tables_and_page(tmp_path: Path) -> None:
    board = fake.board(NETS[:3], ("sgd",), (0,))
    records = {}
    for key, record in play(board, tmp_path).items():
        known = {"params": ord(record.backbone), "transfer": -ord(record.backbone) / 7}
        records[key] = replace(record, forecast=known, params=ord(record.backbone))
    found = results_of(board, records, tmp_path)
    assert any(line.startswith("Foretold before training") for line in write_tables(found))
    written = json.loads((tmp_path / "leaderboard.json").read_text())
    assert [one["by"] for one in written["foretold"]] == ["transfer score", "size", "both"]
    assert {one["backbone"]: one["transfer"] for one in written["rows"]}["a"] == -13.8571
    page = content(found)
    assert any("by size" in line for line in page["beside"])
    assert "transfer" in [column["name"] for column in page["columns"]]
