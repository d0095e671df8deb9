"""Tables and verdict of a board, on records whose figures are made up."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from leaderboard_fake import board, describe

from mmbackbones.errors import InputError
from mmbackbones.leaderboard.plan import Board, Run
from mmbackbones.leaderboard.records import read_records, run_folder, write_record
from mmbackbones.leaderboard.scores import AreaScores, save_scores
from mmbackbones.leaderboard.standings import results_of
from mmbackbones.leaderboard.tables import write_tables

IMAGES = 40
#: Mean IoU in percent, and p50 in ms: gamma and beta are close, and beta is the faster.
NETS = {"alpha": (30.0, 5.0), "beta": (60.0, 9.0), "gamma": (60.6, 20.0)}


def tables(*given) -> list[str]:
    return write_tables(results_of(*given))


def write_run(folder: Path, which: Board, net: str, seed: int, **changes) -> None:
    mean, latency = NETS[net]
    rng = np.random.default_rng([len(net) + ord(net[0]), seed])
    union = np.full((IMAGES, 2), 1000)
    shares = mean / 100 + rng.normal(0, 0.02, (IMAGES, 2)) + rng.normal(0, 0.004)
    scores = AreaScores((union * shares).astype(int), union)
    run = which.run(net, "sgd", seed)
    metric = float(scores.metric(np.ones((1, IMAGES), int))[0])
    made = dict(
        state="ok", metric=metric, metric_name="mIoU", task="segmentation", params=1000, macs=10, seconds=9.0
    )
    made |= dict(latency_ms={"p50": latency, "p95": latency + 1}, weights={"tag": "a|b"}, history=[])
    write_record(run_folder(folder, run.key), replace(describe(run), **{**made, **changes}))
    save_scores(run_folder(folder, run.key) / "scores.npz", scores)


def write_board(folder: Path, seeds: tuple[int, ...]) -> Board:
    which = board(tuple(NETS), ("sgd",), seeds)
    for net in NETS:
        for seed in seeds:
            write_run(folder, which, net, seed)
    return which


def test_the_three_lines_and_the_tables(tmp_path: Path) -> None:
    which = write_board(tmp_path, (0, 1, 2))
    failed = Run("oops", "delta", "sgd", 0)
    which = replace(which, keys={**which.keys, ("delta", "sgd", 0): "oops"})
    record = replace(describe(failed), cause="oom", message="killed\nby | it", next_step="Less.")
    write_record(run_folder(tmp_path, "oops"), record)
    lines = tables(which, read_records(tmp_path), tmp_path, "board")
    assert lines[0].startswith("Best: gamma, mIoU 60.")
    assert lines[0].endswith("; 3 seeds).")
    assert lines[1].startswith("Tied with it: beta 59.") or lines[1].startswith("Tied with it: beta 60.")
    assert lines[2] == (
        "Cheapest of these: beta (9.0 ms an image). Train it: mmbackbones train "
        "board/runs/beta-sgd-0/config.py --work-dir beta"
    )
    rows = list(csv.DictReader((tmp_path / "leaderboard.csv").open()))
    assert [(row["backbone"], row["group"]) for row in rows] == [
        ("gamma", "1"),
        ("beta", "1"),
        ("alpha", "2"),
    ]
    assert all(float(row["low"]) < float(row["metric"]) < float(row["high"]) for row in rows)
    assert {row["seed_p"] for row in rows} == {""}  # three seeds have none
    content = json.loads((tmp_path / "leaderboard.json").read_text())
    assert content["verdict"] == lines
    assert content["rows"][0]["runs"] == ["gamma-sgd-0", "gamma-sgd-1", "gamma-sgd-2"]
    assert content["failures"][0]["cause"] == "oom"
    page = (tmp_path / "leaderboard.md").read_text()
    assert "| delta | sgd | 0 | oom | killed by \\| it | Less. |" in page
    assert "a\\|b" in page


def test_six_seeds_have_a_p_and_one_seed_no_winner(tmp_path: Path) -> None:
    which = write_board(tmp_path / "six", tuple(range(6)))
    tables(which, read_records(tmp_path / "six"), tmp_path / "six")
    rows = list(csv.DictReader((tmp_path / "six" / "leaderboard.csv").open()))
    assert rows[0]["seed_p"] == ""
    assert float(rows[2]["seed_p"]) == round(2 * 2 / 2**6, 4)  # of two comparisons (Holm)
    assert float(rows[0]["seed_low"]) < float(rows[0]["metric"]) < float(rows[0]["seed_high"])
    which = write_board(tmp_path / "one", (0,))
    lines = tables(which, read_records(tmp_path / "one"), tmp_path / "one")
    assert lines[1].startswith("One seed each: no two nets can be told apart.")
    assert tables(which, {}, tmp_path / "one") == ["No net has a result yet."]


def test_what_is_not_alike_is_not_compared(tmp_path: Path) -> None:
    which = write_board(tmp_path, (0, 1))
    write_run(tmp_path, which, "beta", 1, data="other")
    with pytest.raises(InputError, match="Records differ in data: data, other"):
        tables(which, read_records(tmp_path), tmp_path)
    write_run(tmp_path, which, "beta", 1)
    (run_folder(tmp_path, "beta-sgd-1") / "scores.npz").unlink()
    with pytest.raises(InputError, match=r"scores.npz is missing: copy whole run folders"):
        tables(which, read_records(tmp_path), tmp_path)


def test_merging_two_folders_is_copying(tmp_path: Path) -> None:
    """Half of the runs here, half there: together they are the board, whichever is copied into which."""
    which = write_board(tmp_path / "whole", (0, 1, 2))
    lines = tables(which, read_records(tmp_path / "whole"), tmp_path / "whole", "x")
    for net in NETS:
        for seed in (0, 1, 2):
            write_run(tmp_path / ("here" if seed else "there"), which, net, seed)
    for path in (tmp_path / "there" / "runs").iterdir():
        path.rename(tmp_path / "here" / "runs" / path.name)
    records = read_records(tmp_path / "here")
    assert records == read_records(tmp_path / "whole")
    assert tables(which, records, tmp_path / "here", "x") == lines


def test_runs_of_two_machines_are_said_to_be(tmp_path: Path) -> None:
    which = board(("alpha",), ("sgd",), (0, 1))
    for seed, device in enumerate(("cpu: A", "cpu: B")):
        write_run(tmp_path, which, "alpha", seed, device=device)
    tables(which, read_records(tmp_path), tmp_path)
    assert "; device: cpu: A and cpu: B" in (tmp_path / "leaderboard.md").read_text()
