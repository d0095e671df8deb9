"""The benchmark of forecasts: what it compares, and that it tells no share of a few runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import leaderboard_fake as fake
import pytest
import typer

from mmbackbones.bench import forecasts as bench
from mmbackbones.leaderboard.records import run_folder, write_record

BOARD = fake.board(("a", "b", "c"), ("sgd",), (0, 1, 2))


def write(folder: Path, net: str, seed: int, **facts) -> None:
    record = replace(fake.describe(BOARD.run(net, "sgd", seed)), state="ok", **facts)
    write_record(run_folder(folder, record.key), record)


def test_runs_are_held_against_the_probe_of_their_net(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for net, took in (("a", (100.0, 110.0, 130.0)), ("b", (100.0, 90.0, 79.0)), ("c", (100.0, 100.0, 100.0))):
        for seed, seconds in enumerate(took):
            foretold = {"seconds": 100.0, "memory_mib": 500.0} if seed == 0 else {}
            write(tmp_path, net, seed, seconds=seconds, memory_mib=500.0 + 50 * seed, forecast=foretold)
    bench.main([tmp_path], tmp_path / "out.json")
    said = capsys.readouterr().out
    assert "seconds within 20 %: 7 of 9 runs" in said  # not of 130 and 79
    assert "memory_mib within 15 %: 6 of 9 runs" in said  # 600 was foretold as 500
    assert "a, sgd, seed 2" in said
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert rows[2] == [
        "a, sgd, seed 2",
        {"seconds": 100.0, "memory_mib": 500.0},
        {"seconds": 130.0, "memory_mib": 600.0},
    ]


def test_no_share_is_told_of_a_few_runs(tmp_path: Path) -> None:
    forecast = {"seconds": 9.0, "memory_mib": 9.0}
    write(tmp_path, "a", 0, seconds=9.0, memory_mib=9.0, forecast=forecast)
    write(tmp_path, "b", 0, seconds=9.0, memory_mib=9.0)  # without a probe
    with pytest.raises(typer.BadParameter, match="1 runs have a forecast .* 9 are needed"):
        bench.main([tmp_path])
