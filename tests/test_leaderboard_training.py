"""Real runs of a board, of seconds: what a record holds, how they fail, and a kill in the middle of one."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from cases import swept
from mmengine.config import Config
from PIL import Image

from mmbackbones.errors import InputError
from mmbackbones.leaderboard import measure
from mmbackbones.leaderboard.jobs import LocalExecutor, read_outcome
from mmbackbones.leaderboard.latency import FOLDER, RUNS
from mmbackbones.leaderboard.pictures import read_pictures
from mmbackbones.leaderboard.plan import Run
from mmbackbones.leaderboard.resolve import resolve
from mmbackbones.leaderboard.run import Trainings
from mmbackbones.leaderboard.scores import load_scores
from mmbackbones.leaderboard.spec import read_spec
from mmbackbones.leaderboard.worker import cause_of, last_state, time_runs, train_and_measure

SHAPES = {"train": 8, "val": 4}
SPEC = """\
data: DATA
task: segmentation
architecture: swiftnet
backbones: [mobilenetv1_025]
epochs: 3
batch_size: 4
image_size: 64x64
seeds: 1
pretrained: false
trials: {only: {type: AdamW, lr: 1e-3}}
device: cpu
options: {train_dataloader.num_workers: 0, val_dataloader.num_workers: 0}
"""
DETECTION = SPEC.replace("task: segmentation\narchitecture: swiftnet", "task: detection\nconfig: CONFIG")
DETECTOR = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"


def trainings_of(text: str, folder: Path) -> tuple[Trainings, Run]:
    (folder / "board.yaml").write_text(text, encoding="utf-8")
    spec = read_spec(folder / "board.yaml")
    found = resolve(spec, folder)
    return Trainings(spec, found), found.board.run(spec.backbones[0], "only", spec.seeds[0])


@pytest.fixture(scope="module")
def prepared(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainings, Run]:
    return trainings_of(SPEC.replace("DATA", str(shapes)), tmp_path_factory.mktemp("board"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch):
    """Trains in this process, with one thread as the workers of this test have, and few timed predictions."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(measure, "RUNS", 4)

    def run(trainings: Trainings, run: Run, folder: Path, **changes: Any) -> dict[str, Any]:
        folder.mkdir(parents=True)
        trainings.prepare(run, folder)
        if changes:
            cfg = Config.fromfile(folder / "config.py")
            cfg.merge_from_dict(changes)
            cfg.dump(folder / "config.py")
        return train_and_measure(folder, folder / "train", trainings.spec.task, "cpu").facts

    yield run
    torch.set_num_threads(threads)


def check_facts(facts: dict[str, Any], folder: Path, figure: str, per: float) -> None:
    """The figures of a record: the library's own, recomputed from the images, and the costs."""
    left = json.loads((folder / "train" / "metrics.json").read_text())
    assert facts["metric"] == pytest.approx(left["final"].get(figure, 0.0), abs=0.006 * per)
    scores = load_scores(folder / "scores.npz")
    assert scores.count == SHAPES["val"]
    assert facts["metric"] == scores.metric(np.ones((1, SHAPES["val"]), int))[0]
    assert facts["history"] == left["history"]
    assert facts["by_class"].keys() == left["by_class"].keys()
    assert facts["energy_joules"] is None  # not measured
    assert facts["train_seconds_per_iter"] == pytest.approx(left["train_ms"] * 4 / 1e3)
    assert facts["params"] > 200_000
    assert 1e6 < facts["macs"] < 1e9
    assert facts["checkpoint_bytes"] == (folder / "train" / "last.pth").stat().st_size
    assert facts["device"].startswith("cpu: ")
    assert facts["versions"]["torch"] == importlib.metadata.version("torch")
    pictures = read_pictures(folder)
    assert len(pictures.images) == len(pictures.predicted) == SHAPES["val"]
    for path in (*pictures.truth, *pictures.predicted):
        assert max(Image.open(path).size) == 360
    assert [name for name, _ in pictures.legend] == list(facts["by_class"])
    cfg = Config.fromfile(folder / "config.py")
    assert "scores" not in cfg.pretty_text  # a user who trains it again keeps what is here


def test_a_segmenter_has_its_own_scores(prepared, here, tmp_path: Path) -> None:
    facts = here(*prepared, tmp_path / "runs" / "one", **{"train_cfg.max_iters": 2})
    check_facts(facts, tmp_path / "runs" / "one", "mIoU", 1.0)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / RUNS).write_text('["one"]')
    found = time_runs(tmp_path / FOLDER, "cpu").facts["latency_ms"]["one"]
    assert 0 < found["p50"] <= found["p95"]
    assert 0 < found["pre"] < found["p95"]
    assert 0 < found["post"] < found["p95"]


def test_a_board_in_mixed_precision(shapes: Path, here, tmp_path: Path) -> None:
    text = SPEC.replace("DATA", str(shapes)) + "amp: bf16\nonnx: true\n"
    trainings, run = trainings_of(text, tmp_path)
    assert trainings.executor().words == ["--task", "segmentation", "--device", "cpu", "--onnx"]
    facts = here(trainings, run, tmp_path / "run", **{"train_cfg.max_iters": 2})
    assert facts["metric"] >= 0
    assert trainings.describe(run).precision == "bf16"
    cfg = Config.fromfile(tmp_path / "run" / "config.py")
    assert cfg.optim_wrapper.type == "mmbackbones.BFloat16OptimWrapper"


@swept("three trainings, two of them from a cold start")
def test_a_killed_segmenter_goes_on_and_ends_as_an_undisturbed_one(
    prepared, here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings, run = prepared
    whole = here(trainings, run, tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    trainings.prepare(run, folder)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom mmbackbones.leaderboard.jobs import LocalExecutor\n"
        "from mmbackbones.leaderboard.plan import Run\nrun = Run('k', 'net', 'only', 0)\n"
        "job = LocalExecutor(('--task', 'segmentation', '--device', 'cpu')).start(run, Path(sys.argv[1]))\n"
    )
    code += "print(job.poll(), flush=True); time.sleep(600)"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    board = subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True)
    try:
        assert board.stdout.readline() == "None\n"
        workers = psutil.Process(board.pid).children(recursive=True)
        while not (folder / "train" / "iter_4.pth").is_file():  # whose evaluation is still to come
            assert workers[0].status() != psutil.STATUS_ZOMBIE, (folder / "log.txt").read_text()
            time.sleep(0.01)
    finally:
        board.kill()
        board.wait()
    gone, alive = psutil.wait_procs(workers, 5)
    assert (len(gone), alive) == (1, [])
    assert read_outcome(folder) is None
    cfg = Config.fromfile(folder / "config.py")
    assert last_state(cfg, folder / "train").name == "iter_2.pth"  # whose evaluation is there
    job = LocalExecutor(("--task", "segmentation", "--device", "cpu")).start(run, folder)
    while (outcome := job.poll()) is None:
        time.sleep(0.05)
    assert outcome.cause == "", (folder / "log.txt").read_text()
    assert [one["iteration"] for one in outcome.facts["history"]] == [2, 4, 6]
    assert len(list((folder / "train").glob("*/vis_data"))) == 2  # the first epoch was not trained again
    assert outcome.facts["metric"] == pytest.approx(whole["metric"], abs=0.05)
    assert not list((folder / "train").glob("iter_*.pth"))  # last.pth stays


def test_a_detector_has_its_own_scores(shapes: Path, here, tmp_path: Path) -> None:
    text = (
        DETECTION.replace("DATA", str(shapes)).replace("CONFIG", DETECTOR).replace("epochs: 3", "epochs: 1")
    )
    trainings, run = trainings_of(text, tmp_path)
    facts = here(trainings, run, tmp_path / "run", **{"model.test_cfg.rcnn.score_thr": 0.0})
    check_facts(facts, tmp_path / "run", "coco/bbox_mAP", 0.1)
    described = trainings.describe(run)
    assert (described.metric_name, described.weights, described.precision) == ("bbox_mAP", {}, "fp32")


@pytest.mark.parametrize(
    ("changes", "cause", "said"),
    [
        ({"optim_wrapper.optimizer.lr": 1e30}, "nan", "the loss is"),
        (
            {"model.backbone.init_cfg": {"type": "Pretrained", "checkpoint": "nowhere.pth"}},
            "weights",
            "nowhere.pth",
        ),
        ({"model.decode_head.in_channels": [1, 1, 1, 1]}, "config", "in_channels"),
    ],
    ids=["nan", "weights", "config"],
)
def test_failures_of_a_real_run(changes, cause: str, said: str, prepared, here, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as error:
        here(*prepared, tmp_path / "run", **changes)
    assert cause_of(error.value) == cause


def test_a_run_goes_on_from_where_all_was_evaluated(tmp_path: Path) -> None:
    """Also where the kill came while a line of the log was written."""
    cfg = Config(dict(train_cfg=dict(by_epoch=False, val_interval=2)))
    log = tmp_path / "20260101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    for number, name in ((2, "iter_2"), (4, "iter_4"), (5, "interrupted")):
        torch.save({"state_dict": {"w": torch.ones(1)}, "meta": {"iter": number}}, tmp_path / f"{name}.pth")
        os.utime(tmp_path / f"{name}.pth", (number, number))
    lines = [json.dumps({"mIoU": 1.0, "step": step}) + "\n" for step in (2, 4)]
    for text, expected in (("".join(lines), "interrupted.pth"), (lines[0] + lines[1][:9], "iter_2.pth")):
        log.write_text(text)
        assert last_state(cfg, tmp_path).name == expected
    log.write_text(lines[0][:9])
    assert last_state(cfg, tmp_path) is None
    assert list(tmp_path.iterdir()) == []  # a new start, without what the old one left
