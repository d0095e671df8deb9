"""``train --processes``: several processes of one machine, started, heard and ended as one command."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
import typer
from cases import swept
from cli_trainings import DETECTOR, IMAGES, SMALL
from together_calls import fail, note, until_stopped
from warm import Command

from mmbackbones.cli import main
from mmbackbones.cli.together import call_together
from mmbackbones.engine.own_process import cores

#: For the fixture ``shapes``.
SHAPES = IMAGES


def test_each_process_knows_its_place_and_one_is_heard(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    call_together(2, note, tmp_path)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert [(one["RANK"], one["LOCAL_RANK"]) for one in found] == [("0", "0"), ("1", "1")]
    assert {(one["WORLD_SIZE"], one["MASTER_ADDR"], one["launcher"]) for one in found} == {
        ("2", "127.0.0.1", "pytorch")
    }
    assert found[0]["MASTER_PORT"] == found[1]["MASTER_PORT"]
    assert {one["OMP_NUM_THREADS"] for one in found} == {str(max(1, cores() // 2))}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert capfd.readouterr().out == "said by 0\n"


def test_one_process_is_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    call_together(1, note, tmp_path)
    assert json.loads((tmp_path / "alone.json").read_text())["launcher"] == "none"


@pytest.mark.parametrize(
    ("rank", "how", "status", "said"),
    [
        ("0", "input", 2, "Error: There is no such thing. Take another."),
        ("1", "input", 2, "Error: There is no such thing. Take another."),
        ("1", "exit", 3, ""),
        ("0", "kill", 137, ""),
    ],
)
def test_the_one_that_fails_is_heard_and_the_others_end(
    rank: str, how: str, status: int, said: str, capfd: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setattr("mmbackbones.cli.together.PATIENCE", 0.5)
    with pytest.raises(typer.Exit) as end:
        call_together(2, fail, rank, how)
    assert end.value.exit_code == status
    heard = capfd.readouterr().err
    assert said in heard
    assert "Traceback" not in heard


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_once(signum: signal.Signals, tmp_path: Path) -> None:
    def stop() -> None:
        while len(list(tmp_path.glob("*.ready"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signum)

    before = signal.getsignal(signum)
    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(typer.Exit) as end:
        call_together(2, until_stopped, tmp_path)
    thread.join()
    assert end.value.exit_code == 128 + signum
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)] == [[signum]] * 2
    assert signal.getsignal(signum) is before


def test_bad_words(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--processes", "2", "--launcher", "pytorch"], "--processes 2 starts them itself"),
        (["--processes", "0"], "Invalid value for '--processes'"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["train", DETECTOR, *words])
        assert end.value.code == 2
        assert said in " ".join(capsys.readouterr().err.replace("│", "").split())


@swept("two cold processes that train take half a minute")
def test_two_processes_train(shapes: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    words = ["train", DETECTOR, "--data", shapes, "--work-dir", work, *SMALL, "--epochs", 1]
    output = Command([*words, "--processes", 2], tmp_path / "out.txt").end(0)
    assert "2 processes" in output
    assert re.search(r"learning rate \S+ of the config, batch 8\b", output)  # 2 x 4 images
    assert output.count("predictions.png") == 1
    history = json.loads((work / "metrics.json").read_text())["history"]
    assert [row["epoch"] for row in history] == [1]
