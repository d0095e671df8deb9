"""What the page of a board is given, without a browser; and the page written again from records."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from cli_trainings import main_exits
from leaderboard_fake import describe
from leaderboard_made import add_pictures, made
from test_leaderboard_tables import write_board

from mmbackbones.errors import InputError
from mmbackbones.leaderboard.plan import Run, counted
from mmbackbones.leaderboard.records import read_records, run_folder, write_record
from mmbackbones.leaderboard.replay import board_of
from mmbackbones.leaderboard.standings import Results
from mmbackbones.leaderboard.tables import COLUMNS
from mmbackbones.leaderboard_page.configs import as_lines, own_values, values_of
from mmbackbones.leaderboard_page.content import LOOKS, content
from mmbackbones.leaderboard_page.page import page


def test_configs_keep_their_lines_and_say_what_is_their_own() -> None:
    texts = {
        "a": "model = dict(backbone=dict(depth=18, out_indices=(0, 1)), neck=None)\nseed = 0\n",
        "b": "model = dict(backbone=dict(depth=50, out_indices=(0, 1)), neck=None)\nseed = 0\n",
    }
    lines, numbers = as_lines(texts)
    assert lines.count("seed = 0") == 1
    for name, text in texts.items():
        assert "\n".join(lines[number] for number in numbers[name]) + "\n" == text
    assert own_values(texts) == {"a": {"model.backbone.depth": 18}, "b": {"model.backbone.depth": 50}}
    assert values_of("a = {'b': [-1, (2.5, None)], 4: set()}", "x") == {"a": {"b": [-1, [2.5, None]], 4: []}}


@pytest.mark.parametrize("text", ["model = dict(x=open('secret'))", "model = (", "model = other"])
def test_a_config_of_others_is_read_and_never_run(text: str) -> None:
    with pytest.raises(InputError, match="The config of run abc is not plain values"):
        values_of(text, "abc")


def test_every_figure_of_the_tables_has_a_label() -> None:
    assert [name for name, _, _ in COLUMNS if name not in LOOKS] == []


def test_the_page_has_every_run_once_and_its_curve(tmp_path: Path) -> None:
    results = made(tmp_path, nets=4, seeds=2, failed=1)
    losing = replace(results.rows[0].records[0], key="0", trial="sgd", metric=1.0)
    results = replace(results, records={**results.records, "0": losing})
    add_pictures(results)
    found = content(results)
    assert {one["key"] for one in found["runs"]} == results.records.keys()
    by_key = {one["key"]: one for one in found["runs"]}
    assert [one["counted"] for one in found["runs"]] == [True] * 2 + [False] + [True] * 6 + [False]
    first = results.rows[0].records[0]
    assert by_key[first.key]["curve"] == [(one["epoch"], one["mIoU"]) for one in first.history]
    assert (found["unit"], found["costs"][0]) == ("epoch", ["latency_p50_ms", "Latency"])
    assert found["rows"][0]["runs"] == [one.key for one in results.rows[0].records]
    assert {one["family"] for one in found["rows"]} == {"resnet", "convnext", "efficientnet", "swin"}
    assert all(len(shown) == 3 for shown in found["pictures"]["nets"].values())
    assert ("epochs", "8") in found["conditions"]
    text = page(results)
    embedded = re.search(r'<script type="application/json" id="board">(.*?)</script>', text, re.S)[1]
    assert json.loads(embedded)["runs"] == json.loads(json.dumps(found["runs"]))


def test_a_halved_board_is_read_back_with_its_rungs(tmp_path: Path) -> None:
    """Two nets were trained to the end, one pauses at each rung; the losing trials pause at the first."""
    histories = {4: [{"epoch": 2, "mIoU": 8.0}, {"epoch": 4, "mIoU": 9.0}], 2: [{"epoch": 2, "mIoU": 7.0}]}
    whole = dict(
        state="ok", metric_name="mIoU", metric=60.0, history=[{"epoch": 2, "mIoU": 9.5}, *histories[4]]
    )
    records = {}
    for net, trial, until in [
        *(("alpha", "sgd", 6), ("beta", "sgd", 6), ("gamma", "sgd", 4), ("delta", "sgd", 2)),
        *((name, "adamw", 2) for name in ("alpha", "beta", "gamma", "delta")),
    ]:
        paused = dict(state="paused", metric_name="mIoU", history=histories.get(until), metric=9.0)
        one = describe(Run(f"{net}-{trial}", net, trial, 0))
        records[one.key] = replace(one, **(whole if until == 6 else paused))
    board = board_of(records)
    assert board.rungs == (2, 4)
    assert [name for name, runs in counted(board, records).items() if runs] == ["alpha", "beta"]
    results = Results((), records, (), tmp_path, "board")
    left = {one["backbone"]: one["when"] for one in content(results)["paused"]}
    assert left == {"alpha": "epoch 2", "beta": "epoch 2", "gamma": "epoch 4", "delta": "epoch 2"}
    assert "Left behind by halving" in page(results)


def test_page_and_tables_are_written_again_from_the_records_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = write_board(tmp_path / "board", (3, 1, 2))
    records = read_records(tmp_path / "board")
    again = board_of(records)
    assert (set(again.backbones), again.trials, set(again.seeds)) == (
        set(which.backbones),
        ("sgd",),
        {1, 2, 3},
    )
    extra = replace(
        next(one for one in records.values() if one.seed == 3), key="new", trial="adamw", metric=0.0
    )
    assert board_of({**records, "new": extra}).seeds[0] == 3  # on which all trials were run
    monkeypatch.chdir(tmp_path)
    main_exits("leaderboard", "board", code=0)
    said = capsys.readouterr().out
    assert said.startswith("Best: gamma, mIoU 60.")
    assert "Page: board/leaderboard.html; tables: .md, .csv, .json beside it" in said
    text = (tmp_path / "board" / "leaderboard.html").read_text()
    assert "mmbackbones train board/runs/beta-sgd-" in text
    (tmp_path / "board" / "leaderboard.html").unlink()
    main_exits("leaderboard", "board", code=0)
    assert (tmp_path / "board" / "leaderboard.html").read_text() == text
    for words in (["--retry", "oom"], ["--per-gpu", "2"], ["--no-probe"]):
        main_exits("leaderboard", "board", *words, code=2)
    (tmp_path / "empty").mkdir()
    main_exits("leaderboard", "empty", code=2)
    (tmp_path / "none" / "runs").mkdir(parents=True)
    main_exits("leaderboard", "none", code=2)
    said = capsys.readouterr().err
    assert said.count("board is a folder, whose page is written again: other options want the spec.") == 3
    assert "empty is a folder without runs/" in said
    assert "There is no record of a run that has ended." in said
    write_record(run_folder(tmp_path / "board", "z"), replace(extra, key="z", model="other"))
    with pytest.raises(InputError, match="Records differ in model"):
        board_of(read_records(tmp_path / "board"))
