"""Probes before the start: a forecast of time and memory, and a refusal of what cannot fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import leaderboard_fake as fake
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from PIL import Image
from test_leaderboard_training import SHAPES, SPEC, trainings_of  # noqa: F401 (SHAPES: for the fixture)

from mmbackbones.leaderboard import probe
from mmbackbones.leaderboard.plan import finalists, next_runs
from mmbackbones.leaderboard.records import read_records
from mmbackbones.leaderboard.worker import cause_of, train_and_measure

BOARD = replace(fake.board(("alpha", "beta", "gamma"), ("sgd", "adamw"), (0, 1)), rungs=(0,))


def test_probes_come_first_and_what_does_not_fit_is_not_trained(tmp_path: Path) -> None:
    fake.play(tmp_path, BOARD, alpha_sgd_0="oom", beta_sgd_0="oom", beta_adamw_0="oom")
    lines = [line.split() for line in (tmp_path / "starts.txt").read_text().splitlines()]
    assert {key for key, _, until in lines[:6] if until == "0"} == set(BOARD.keys.values()) - {
        f"{net}-{trial}-1" for net in BOARD.backbones for trial in BOARD.trials
    }
    assert "0" not in [until for *_, until in lines[6:]]  # the second seed needs none
    records = read_records(tmp_path)
    assert finalists(BOARD, records).keys() == {"alpha", "gamma"}
    assert finalists(BOARD, records)["alpha"] == "adamw"
    assert records["alpha-adamw-0"].forecast == {"seconds": 9.0, "memory_mib": 5.0}
    assert (records["alpha-adamw-0"].state, records["alpha-adamw-0"].seconds) == ("ok", 1.0)
    assert records["beta-sgd-0"].cause == "oom"
    assert next_runs(BOARD, records) == []


def test_probes_and_halving(tmp_path: Path) -> None:
    """A net that does not fit takes no place of those that go on."""
    board = replace(fake.board(("a", "b", "c", "d", "e"), ("sgd",), (0,)), rungs=(0, 1))
    fake.play(tmp_path, board, a_sgd_0="oom", b_sgd_0="oom")
    states = sorted(record.state for record in read_records(tmp_path).values())
    assert states == ["failed", "failed", "ok", "ok", "paused"]


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_probe_forecasts_and_leaves_nothing(
    shapes: Path, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings, run = trainings_of(
        SPEC.replace("DATA", str(shapes)).replace("epochs: 3", "epochs: 300"), tmp_path
    )
    folder = tmp_path / "run"
    folder.mkdir()
    trainings.prepare(run, folder)
    outcome = train_and_measure(folder, folder / "train", "segmentation", "cpu", until=0)
    assert outcome.until == 0
    forecast = outcome.facts["forecast"]
    assert 600 * 0.003 < forecast["seconds"] < 3600  # of 600 steps and 20 evaluations
    assert forecast["memory_mib"] >= 0
    assert forecast["latency_ms"] > 0
    assert 1e5 < forecast["params"] < 1e7
    assert "transfer" not in forecast  # of random weights
    assert [path.name for path in folder.iterdir()] == ["config.py"]
    cfg = Config.fromfile(folder / "config.py")
    cfg.train_dataloader.batch_size = 8
    cfg.dump(folder / "config.py")
    monkeypatch.setattr(probe, "free_mib", lambda cuda: -1.0)
    with pytest.raises(MemoryError, match=r"A batch of 8 images would need .* MiB and -1 are free") as error:
        train_and_measure(folder, folder / "train", "segmentation", "cpu", until=0)
    assert cause_of(error.value) == "oom"
    assert [path.name for path in folder.iterdir()] == ["config.py"]


def test_the_missing_memory_is_named() -> None:
    probe.check_fits({}, 2, 0.0)
    probe.check_fits({4: 1000.0, 8: 1800.0}, 16, 3400.0)  # 200 MiB an image, 200 beside them
    with pytest.raises(
        MemoryError, match="A batch of 16 images would need 3,400 MiB and 3,000 are free: 400 MiB"
    ):
        probe.check_fits({4: 1000.0, 8: 1800.0}, 16, 3000.0)


class Data:
    """Images of mmdet, which tells their sizes, or of mmseg, which does not."""

    def __init__(self, sizes: list[tuple[int, int]], folder: Path | None = None) -> None:
        self.sizes, self.folder = sizes, folder
        for number, size in enumerate(sizes) if folder else ():
            Image.new("RGB", size).save(folder / f"{number}.png")

    def __len__(self) -> int:
        return len(self.sizes)

    def get_data_info(self, index: int) -> dict[str, Any]:
        if self.folder:
            return {"img_path": str(self.folder / f"{index}.png")}
        return dict(zip(("width", "height"), self.sizes[index], strict=True))

    def __getitem__(self, index: int) -> dict[str, Any]:
        wide, high = self.sizes[index]
        return {"inputs": torch.zeros(3, high, wide), "index": index}


def largest(data: Data, scale: tuple[int, int] | None, size: int = 2) -> list[list[int]]:
    loader = SimpleNamespace(dataset=data, batch_sampler=SimpleNamespace(batch_size=size), collate_fn=list)
    return [[one["index"] for one in batch] for batch in probe.largest_batches(loader, scale)]


def test_the_largest_batches_come_first(tmp_path: Path) -> None:
    sizes = [(10 + number, 20) for number in range(14)] + [(400, 10)]
    for data in (Data(sizes), Data(sizes, tmp_path)):
        assert largest(data, None) == [[14, 13], [12, 11], [10, 9], [8, 7], [6, 5]]
        assert 14 not in sum(largest(data, (40, 40)), [])  # it is resized to 40x1
    assert largest(Data(sizes[:1]), None) == [[0, 0]]  # fewer images than a batch has


def test_free_memory_minds_the_bound_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "CGROUP", tmp_path)
    unbound = probe.free_mib(False)
    assert unbound > 100
    (tmp_path / "memory.current").write_text(f"{30 * 2**20}\n")
    (tmp_path / "memory.max").write_text(f"{50 * 2**20}\n")
    assert probe.free_mib(False) == 20.0
    (tmp_path / "memory.max").write_text("max\n")
    assert probe.free_mib(False) > 100


def test_time_is_foretold_by_a_few_steps() -> None:
    """The first waits for the loader's workers, which start anew in each epoch; two more are warm-up."""
    first = [5.0, 4.0, 2.0, 2.0, 9.0]
    assert probe.of_steps(first, 60, 6) == 60 * 2 + 6 * 3
    assert probe.of_steps([3.0], 4, 1) == 12  # a training of one step
    assert probe.of_predictions([5.0, 1.0, 1.0], 10) == 5 + 9
    assert probe.of_predictions([0.5, 1.0], 10) == 10  # no workers to wait for
    hooks = [object(), CheckpointHook(interval=10, by_epoch=False)]
    assert probe.saved_every(SimpleNamespace(hooks=hooks, max_iters=60)) == 10
    assert probe.saved_every(SimpleNamespace(hooks=hooks[:1], max_iters=60)) == 60
