"""The command around a board whose runs are made up: plan, progress, verdict, what is said of failures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cli_trainings import main_exits

from mmbackbones.leaderboard import resolve
from mmbackbones.leaderboard.jobs import Outcome
from mmbackbones.leaderboard.plan import Run
from mmbackbones.leaderboard.run import Trainings
from mmbackbones.leaderboard.scores import AreaScores, save_scores


@dataclass
class Made:
    """A run that has ended when it starts; ``failing`` says which trials fail for which cause."""

    outcome: Outcome

    def poll(self) -> Outcome:
        return self.outcome

    def stop(self) -> None:
        return


@dataclass
class Maker:
    failing: dict[str, str]
    slots: int = 1

    def start(self, run: Run, folder: Path) -> Made:
        if cause := self.failing.get(run.trial):
            if cause == "ctrl-c":
                raise KeyboardInterrupt
            return Made(Outcome(cause, "no room"))
        if run.until == 0:
            return Made(Outcome(facts={"forecast": {"seconds": 90.0, "memory_mib": 512.4}}, until=0))
        areas = np.random.default_rng(run.seed).integers(400, 600, (10, 2))
        save_scores(folder / "scores.npz", AreaScores(areas, np.full((10, 2), 1000)))
        facts = {"metric": 50.0 + run.seed, "seconds": 60.0, "latency_ms": {"p50": 7.0, "p95": 8.0}}
        return Made(Outcome(facts={**facts, "by_class": {}, "history": []}))


@pytest.fixture
def command(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Runs the command on a spec of one net; the configs are resolved once."""
    (tmp_path / "board.yaml").write_text(
        f"data: {shapes}\ntask: segmentation\narchitecture: swiftnet\n"
        "backbones: [mobilenetv1_025]\nepochs: 1\nimage_size: 64x64\npretrained: false\nseeds: [3, 4]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    known = []
    whole = resolve.resolve

    def once(*args):
        known[:] = known or [whole(*args)]
        return known[0]

    monkeypatch.setattr(resolve, "resolve", once)

    def run(*words: str, code: int = 0, **failing: str) -> str:
        monkeypatch.setattr(Trainings, "executor", lambda self: Maker(failing))
        main_exits("leaderboard", "board.yaml", *words, code=code)
        said = capsys.readouterr()
        return said.out + said.err

    return run


def test_the_page_is_written_while_the_board_runs(command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second seed finds the page of the first."""
    seen = {}
    start = Maker.start

    def watched(self: Maker, run: Run, folder: Path) -> Made:
        page = Path("leaderboards/board/leaderboard.html")
        seen[run.key] = run.key, page.is_file() and page.read_text()
        return start(self, run, folder)

    monkeypatch.setattr(Maker, "start", watched)
    command("--no-probe")
    (first, before), (_, after), *_ = seen.values()
    assert not before
    assert first in after


def test_a_limit_of_latency_wants_probes(command) -> None:
    spec = Path("board.yaml")
    spec.write_text(spec.read_text() + "limits: {max_latency: 5}\n")
    assert "the probes measure limits.max_latency: leave --no-probe out" in command("--no-probe", code=2)


def test_a_board_from_plan_to_verdict(command, monkeypatch: pytest.MonkeyPatch) -> None:
    said = command("--dry-run")
    assert "3 runs" in said
    assert [line.split()[1::2][:4] for line in said.splitlines() if "next" in line] == [
        ["mobilenetv1_025", "sgd", "3", "next"],
        ["mobilenetv1_025", "adamw", "3", "next"],
    ]
    assert any("the best" in line and "later" in line for line in said.splitlines())
    board = Path("leaderboards") / "board"
    assert not (board / "runs").exists()
    assert "no such cause" in command("--retry", "cold", code=2)
    said = command("--dry-run", "--probe")
    assert "mobilenetv1_025, adamw, seed 3: forecast 90 s, 512 MiB  [0/3; about 4 min left]" in said
    assert said.count("next") == said.count("│ 90 s, 512 MiB") == 2
    assert "sgd, seed 3 ..." not in command("--dry-run", "--probe")  # none is probed twice

    with monkeypatch.context() as patch:
        patch.setenv("FORCE_COLOR", "1")  # as on a terminal
        said = command(code=130, sgd="ctrl-c")
    assert "0 of 3 runs done" in said
    assert "Ctrl-C stops" in said
    assert said.count("forecast 90 s, 512 MiB") >= 2
    assert "Stopped. Go on with: mmbackbones leaderboard board.yaml --work-dir leaderboards/board" in said
    said = command(code=130, sgd="ctrl-c")
    assert "Ctrl-C stops" not in said
    assert "Stopped. Go on with: mmbackbones leaderboard board.yaml --work-dir leaderboards/board" in said

    said = command(code=1, adamw="oom")
    assert "mobilenetv1_025, sgd, seed 3: mIoU 53 in 60 s  [1/3; about 2 min left]" in said
    assert "mobilenetv1_025, adamw, seed 3: failed (oom): no room" in said
    assert "1 run failed (oom); run them again with --retry oom." in said
    assert "Best: mobilenetv1_025, mIoU 53.5 (95 %: " in said
    assert "failed oom" in command("--dry-run")
    assert ", seed" not in command(code=1)  # nothing is left to run; the verdict stays

    said = command("--retry", "oom")
    assert "mobilenetv1_025, adamw, seed 3: mIoU 53 in 60 s  [3/3]" in said
    page = (board / "leaderboard.html").read_text()
    assert all(key in page for key in (path.name for path in (board / "runs").iterdir()))
    key = json.loads((board / "leaderboard.json").read_text())["rows"][0]["runs"][0]
    train = f"mmbackbones train leaderboards/board/runs/{key}/config.py --work-dir mobilenetv1_025"
    assert f"Cheapest of these: mobilenetv1_025 (7.0 ms an image). Train it: {train}" in said
    assert (board / "runs" / key / "config.py").is_file()
    assert "Page: leaderboards/board/leaderboard.html; tables: .md, .csv, .json beside it" in said
    records = [json.loads(path.read_text()) for path in board.glob("runs/*/record.json")]
    assert {(r["trial"], r["seed"], r["state"]) for r in records} == {
        ("sgd", 3, "ok"),
        ("adamw", 3, "ok"),
        ("sgd", 4, "ok"),
    }
    assert {(r["model"], r["task"], r["image_size"], r["epochs"]) for r in records} == {
        ("swiftnet", "segmentation", "64x64", 1)
    }
