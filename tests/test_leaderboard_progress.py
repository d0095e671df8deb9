"""What is seen of a board while it runs: the table on a terminal, as it is drawn."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from leaderboard_fake import board, describe
from mmengine.config import Config
from rich.console import Console

from mmbackbones.cli.leaderboard_progress import Watch, minutes, told
from mmbackbones.leaderboard.plan import Board
from mmbackbones.leaderboard.records import run_folder, write_record

EPOCHS = Config(dict(train_cfg=dict(by_epoch=True, max_epochs=8)))
ITERATIONS = Config(dict(train_cfg=dict(type="IterBasedTrainLoop", max_iters=40)))


def log(folder: Path, key: str, *rows: dict, half: str = "") -> None:
    path = run_folder(folder, key) / "train" / "20260101_000000" / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + half)


def end(folder: Path, which: Board, net: str, **changes) -> None:
    record = describe(which.run(net, "sgd", 0))
    write_record(run_folder(folder, record.key), replace(record, **changes))


def terminal(height: int = 30) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=height, color_system=None)


def drawn(watch: Watch) -> str:
    with watch.console.capture() as capture:
        watch.console.print(watch.shown())
    return capture.get()


def rows(text: str) -> list[list[str]]:
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    return [[cell for cell in line if cell] for line in cells]


@pytest.mark.parametrize("cfg", [EPOCHS, ITERATIONS], ids=["epochs", "iterations"])
def test_the_table_says_how_far_each_run_is(
    cfg: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    which = board(("alpha", "beta", "gamma", "delta"), ("sgd",), (0,))
    watch = Watch(terminal(), which, tmp_path, {(net, "sgd"): cfg for net in which.backbones})
    assert "0 of 4 runs done   Ctrl-C stops" in drawn(watch)
    end(tmp_path, which, "alpha", state="ok", metric=61.25, metric_name="mIoU", seconds=240.0)
    end(tmp_path, which, "delta", state="failed", cause="oom")
    run = which.run("beta", "sgd", 0)
    watch(run, None)
    assert ["beta", "sgd", "0", "starting"] in rows(drawn(watch))
    loss = {"loss": 1.0, "epoch": 3, "iter": 15, "step": 15}
    step = 2 if cfg is EPOCHS else 10
    log(tmp_path, run.key, {"mIoU": 12.5, "aAcc": 80.0, "step": step}, loss, half='{"loss": 0.')
    now[0] += 60
    text = drawn(watch)
    at, left = ("epoch 3/8", "3 min left") if cfg is EPOCHS else ("iteration 15/40", "100 s left")
    left = left.replace("100 s", minutes(60 * 25 / 15))
    assert rows(text)[-4:] == [
        ["alpha", "sgd", "0", "done", "61.25", "4 min"],
        ["delta", "sgd", "0", "failed (oom)"],
        ["beta", "sgd", "0", at, "12.5", left],
        ["gamma", "sgd", "0", "waiting"],
    ]
    assert "1 of 4 runs done, 1 failed; about 8 min left" in text
    end(tmp_path, which, "beta", state="paused", metric=13.0, metric_name="mIoU", seconds=80.0)
    watch(run, describe(run))
    assert ["beta", "sgd", "0", "paused", "13", "80 s"] in rows(drawn(watch))


def test_a_run_that_goes_on_counts_from_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    which = board(("alpha",), ("sgd",), (0,))
    which = replace(which, rungs=(6,))
    watch = Watch(terminal(), which, tmp_path, {("alpha", "sgd"): EPOCHS})
    run = which.run("alpha", "sgd", 0, rung=0)
    log(tmp_path, run.key, {"mIoU": 1.0, "step": 2})
    watch(run, None)
    now[0] += 30
    log(tmp_path, run.key, {"mIoU": 1.0, "step": 2}, {"mIoU": 2.0, "step": 3})
    assert rows(drawn(watch))[-1] == ["alpha", "sgd", "0", "epoch 3/6", "2", "90 s left"]


def test_a_long_board_keeps_to_the_height_of_the_terminal(tmp_path: Path) -> None:
    nets = tuple(f"net{number}" for number in range(50))
    which = board(nets, ("sgd",), (0,))
    watch = Watch(terminal(20), which, tmp_path, {(net, "sgd"): EPOCHS for net in nets})
    for net in nets[:30]:
        end(tmp_path, which, net, state="ok", metric=1.0, metric_name="mIoU", seconds=1.0)
    watch(which.run("net30", "sgd", 0), None)
    text = drawn(watch)
    assert text.count("\n") < 20
    assert ["net30", "sgd", "0", "starting"] in rows(text)
    assert "38 more" in text


def test_only_a_terminal_gets_the_table(tmp_path: Path) -> None:
    which = board(("alpha",), ("sgd",), (0,))
    for console, is_drawn in ((terminal(), True), (Console(file=io.StringIO(), width=100), False)):
        run = which.run("alpha", "sgd", 0)
        with told(console, which, tmp_path, {("alpha", "sgd"): EPOCHS}) as say:
            say(run, None)
        said = console.file.getvalue()
        assert ("Ctrl-C stops" in said) == is_drawn
        assert (said == "alpha, sgd, seed 0 ...\n") != is_drawn


def test_times_are_short() -> None:
    assert [minutes(value) for value in (None, 45.2, 720.0, 12240.0)] == ["", "45 s", "12 min", "3.4 h"]
