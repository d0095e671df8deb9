"""Halving: which runs go on after a pause, and that one which does ends as if it had never paused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import leaderboard_fake as fake
import pytest
import torch
from mmengine.config import Config
from test_leaderboard_training import SHAPES, SPEC, trainings_of  # noqa: F401 (SHAPES: for the fixture)

from mmbackbones.engine import train as engine_train
from mmbackbones.errors import InputError
from mmbackbones.leaderboard import measure
from mmbackbones.leaderboard.loop import retry
from mmbackbones.leaderboard.plan import counted, finalists, next_runs
from mmbackbones.leaderboard.records import read_records
from mmbackbones.leaderboard.resolve import with_halving
from mmbackbones.leaderboard.worker import train_and_measure

NETS = ("a", "b", "c", "d", "e")
BOARD = replace(fake.board(NETS, ("sgd", "adamw"), (0, 1)), rungs=(1, 2))


def best_of(nets: list[str] | tuple[str, ...], count: int, epoch: int, trials: dict[str, str]) -> list[str]:
    ranked = sorted(nets, key=lambda net: -fake.metric_of(f"{net}-{trials[net]}-0", epoch))
    return [net for net in nets if net in ranked[:count]]


def test_the_better_half_goes_on_at_each_rung(tmp_path: Path) -> None:
    fake.play(tmp_path, BOARD)
    records = read_records(tmp_path)
    trial = {
        net: max(BOARD.trials, key=lambda name, net=net: fake.metric_of(f"{net}-{name}-0", 1)) for net in NETS
    }
    second = best_of(NETS, 3, 1, trial)
    last = best_of(second, 2, 2, trial)
    assert finalists(BOARD, records) == {net: trial[net] for net in last}
    expected = [f"{net}-{name}-0 False 1" for name in BOARD.trials for net in NETS]
    for nets, until in ((second, "2"), (last, "None")):
        expected += [
            f"{net}-{name}-0 False {until}" for name in BOARD.trials for net in nets if trial[net] == name
        ]
    expected += [f"{net}-{trial[net]}-1 False None" for net in last]
    assert (tmp_path / "starts.txt").read_text().splitlines() == expected
    states = {net: records[f"{net}-{trial[net]}-0"].state for net in NETS}
    assert states == {net: "ok" if net in last else "paused" for net in NETS}
    of_best = records[f"{last[0]}-{trial[last[0]]}-0"]
    assert [row["epoch"] for row in of_best.history] == [1, 2, 3]
    assert (of_best.seconds, of_best.rung) == (3.0, 2)  # three parts of a second each
    assert {net for net, runs in counted(BOARD, records).items() if runs} == set(last)

    whole = replace(BOARD, rungs=())
    assert {run.key for run in next_runs(whole, records)} >= {
        key for key, record in records.items() if record.state == "paused"
    }
    fake.play(tmp_path, whole)  # without halving what pauses is trained to its end, and nothing again
    fake.play(tmp_path / "whole", whole)
    kept = {key: record.metric for key, record in read_records(tmp_path).items()}
    undisturbed = {key: record.metric for key, record in read_records(tmp_path / "whole").items()}
    assert undisturbed.items() <= kept.items()  # the trial may be another, which is chosen at the end


def test_halving_of_a_board_that_has_run_shows_what_it_would_have_kept(tmp_path: Path) -> None:
    """The figures at the rungs come from the histories, so the choice is the same afterwards."""
    fake.play(tmp_path / "whole", replace(BOARD, rungs=()))
    fake.play(tmp_path / "halved", BOARD)
    afterwards = finalists(BOARD, read_records(tmp_path / "whole"))
    assert afterwards == finalists(BOARD, read_records(tmp_path / "halved"))


def test_a_failed_run_is_not_promoted_and_can_be_retried(tmp_path: Path) -> None:
    """A net of which one trial failed goes on with the other."""
    failing = {f"{net}_{name}_0": "oom" for net in "abc" for name in BOARD.trials} | {"d_sgd_0": "nan"}
    fake.play(tmp_path, BOARD, **failing)
    records = read_records(tmp_path)
    assert len(finalists(BOARD, records)) == 1  # of d and e
    assert [run.key for run in next_runs(BOARD, records)] == []
    retry(BOARD, tmp_path, ["nan"])
    assert [(run.key, run.until) for run in next_runs(BOARD, read_records(tmp_path))] == [("d-sgd-0", 1)]


def rungs(**loop: int) -> tuple[int, ...]:
    from mmbackbones.leaderboard.resolve import Resolved

    cfg = Config({"train_cfg": loop})
    return with_halving(Resolved(BOARD, {("a", "sgd"): cfg}, "", "", ())).board.rungs


def test_the_first_rung_is_an_evaluation_at_a_third_or_later() -> None:
    assert rungs(max_epochs=12, val_interval=1) == (4, 8)
    assert rungs(max_epochs=12, val_interval=3) == (6, 9)
    assert rungs(max_epochs=4) == (2, 3)
    assert rungs(max_iters=160, val_interval=80) == (80,)
    with pytest.raises(InputError, match=r"nothing is evaluated between a third of the schedule \(1\)"):
        rungs(max_epochs=1, val_interval=1)


def test_a_promoted_training_ends_as_an_undisturbed_one(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused after the first of three epochs, with a falling learning rate."""
    monkeypatch.setattr(measure, "RUNS", 2)
    trained: list[Path] = []
    train = engine_train.train
    monkeypatch.setattr(
        engine_train, "train", lambda cfg, work, **how: trained.append(work) or train(cfg, work, **how)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trainings, run = trainings_of(SPEC.replace("DATA", str(shapes)), tmp_path)
    found = {}
    for name, pauses in (("whole", [None]), ("paused", [2, 2, None])):
        folder = tmp_path / name
        folder.mkdir()
        trainings.prepare(run, folder)
        found[name] = [
            train_and_measure(folder, folder / "train", "segmentation", "cpu", until) for until in pauses
        ]
    torch.set_num_threads(threads)
    [whole], [first, again, last] = found["whole"], found["paused"]
    assert (first.until, last.until) == (2, None)
    assert [row["iteration"] for row in first.facts["history"]] == [2]
    assert (
        again.facts["history"] == first.facts["history"]
    )  # killed before it could say so: not trained again
    assert [work.parent.name for work in trained] == ["whole", "paused", "paused"]
    assert first.facts["history"][0]["mIoU"] == pytest.approx(first.facts["metric"], abs=0.006)
    for row, other in zip(last.facts["history"], whole.facts["history"], strict=True):
        assert row == pytest.approx(other, abs=0.01)
    assert last.facts["metric"] == pytest.approx(whole.facts["metric"], abs=0.01)
    rates = [
        (tmp_path / name / "train" / "last.pth").is_file() and scalars(tmp_path / name / "train")
        for name in found
    ]
    assert rates[0] == pytest.approx(rates[1])


def scalars(work: Path) -> dict[int, float]:
    from mmbackbones.engine.report import read_history

    return read_history(work).rates
