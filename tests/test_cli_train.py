"""The commands train, test and predict on small images, from the command line's words to the files."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmbackbones.cli import main
from mmbackbones.compose.configs import load_config
from mmbackbones.data.shapes import CLASSES, write_shapes
from mmbackbones.weights.files import read_checkpoint

DETECTOR = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
SEGMENTER = "segmentation/deeplabv3plus_resnet18-scratch-d16_1xb8-8k_cityscapes-360x480"
SMALL = ["--img-scale", "64x64", "--batch-size", "4", "--device", "cpu", "--seed", "0"]


@dataclass(frozen=True)
class Trained:
    work: Path
    data: Path
    output: str


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("cli") / "shapes", train=8, val=4, size=(64, 64))


def run(*words: object, code: int = 0) -> str:
    """Run the command in a process of its own, as a user does."""
    command = [sys.executable, "-m", "mmbackbones.cli", *map(str, words)]
    env = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def detector(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    work = tmp_path_factory.mktemp("cli") / "detector"
    output = run("train", DETECTOR, "--data", shapes, "--work-dir", work, "--epochs", 2, *SMALL)
    return Trained(work, shapes, output)


@pytest.fixture(scope="session")
def segmenter(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    work = tmp_path_factory.mktemp("cli") / "segmenter"
    output = run("train", SEGMENTER, "--data", shapes, "--work-dir", work, "--epochs", 2, *SMALL)
    return Trained(work, shapes, output)


@pytest.fixture(params=["detector", "segmenter"])
def trained(request: pytest.FixtureRequest) -> Trained:
    return request.getfixturevalue(request.param)


# -- train ----------------------------------------------------------------------------------------


def test_training_leaves_everything_in_one_folder(trained: Trained) -> None:
    for name in ("last.pth", "best.pth", "metrics.json", "curves.png", "predictions.png", "config.py"):
        assert (trained.work / name).stat().st_size > 0, name
        assert name in trained.output
    for name in ("curves.png", "predictions.png"):
        with Image.open(trained.work / name) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("RGB").resize((64, 64)).getcolors(4096) or []) > 20
    assert not list(trained.work.rglob("*.part"))


def test_metrics_have_every_evaluation(trained: Trained) -> None:
    metrics = json.loads((trained.work / "metrics.json").read_text())
    detection = metrics["task"] == "detection"
    main_figure = "coco/bbox_mAP_50" if detection else "mIoU"
    assert [row["epoch" if detection else "iteration"] for row in metrics["history"]] == (
        [1, 2] if detection else [2, 4]
    )
    assert metrics["final"] == {
        key: value for key, value in metrics["history"][-1].items() if key not in ("epoch", "iteration")
    }
    assert metrics["best"][main_figure] == max(row[main_figure] for row in metrics["history"])
    assert metrics["classes"][-len(CLASSES) :] == list(CLASSES)
    assert list(metrics["by_class"]) == metrics["classes"]
    known = [value for value in metrics["by_class"].values() if value is not None]
    mean = metrics["final"]["coco/bbox_mAP" if detection else "mIoU"]
    assert sum(known) / len(known) == pytest.approx(mean, abs=0.01)
    assert all(name in trained.output for name in metrics["classes"])


def test_the_summary_names_the_last_and_the_best(trained: Trained) -> None:
    metrics = json.loads((trained.work / "metrics.json").read_text())
    unit = "epoch" if "epochs" in metrics else "iteration"
    rows = {row.pop(unit): row for row in metrics["history"]}
    assert metrics["best"] == rows[metrics[f"best_{unit}"]]
    assert f"last.pth, {unit} {max(rows)}" in trained.output
    (line,) = [line for line in trained.output.splitlines() if line.startswith("best.pth, ")]
    assert f"{unit} {metrics[f'best_{unit}']} " in line
    figure = metrics["best"]["coco/bbox_mAP" if unit == "epoch" else "mIoU"]
    assert f"{figure:.3f}" in line


def test_metrics_have_what_the_training_cost(trained: Trained) -> None:
    metrics = json.loads((trained.work / "metrics.json").read_text())
    assert 0 < metrics["predict_ms"] < metrics["train_ms"] < 1e3 * metrics["seconds"]
    assert metrics["memory_mib"] >= 0  # 0 where all of it had been used by the tests before
    assert "training, ms/image" in trained.output


def test_progress_is_shown_on_plain_lines(trained: Trained) -> None:
    lines = trained.output.splitlines()
    assert any(line.startswith("train 4/4") and "loss" in line and "left" in line for line in lines)
    assert any("following the batch size" in line for line in lines)
    assert any("mAP" in line or "mIoU" in line for line in lines)
    assert "Traceback" not in trained.output
    assert "Warning" not in trained.output
    assert "loading annotations" not in trained.output  # libraries print into the log
    logs = list(trained.work.glob("*/*.log"))
    assert len(logs) == 1
    assert logs[0].read_text().count("What trains:\npart ") == 1  # the report of freeze-report
    assert "Epoch(train)" in logs[0].read_text() or "Iter(train)" in logs[0].read_text()


def test_the_resolved_config_is_complete_and_trains_again(detector: Trained, tmp_path: Path) -> None:
    cfg = load_config(str(detector.work / "config.py"))
    assert cfg.train_cfg.max_epochs == 2
    assert cfg.model.roi_head.bbox_head.num_classes == len(CLASSES)
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size == 4
    assert cfg.resume is False
    assert "launcher" not in cfg
    assert "img_scale" not in cfg  # a variable of the file that it came from, of no effect by now
    assert "_scope_" not in (detector.work / "config.py").read_text()
    rate = cfg.optim_wrapper.optimizer.lr
    again = tmp_path / "again"
    run("train", detector.work / "config.py", "--work-dir", again, "--device", "cpu")
    assert load_config(str(again / "config.py")).optim_wrapper.optimizer.lr == rate
    first, second = (read_checkpoint(work / "last.pth")["state_dict"] for work in (detector.work, again))
    assert all(torch.equal(first[key], second[key]) for key in first)  # same seed, same weights


def test_the_users_data_is_not_changed(shapes: Path, detector: Trained, segmenter: Trained) -> None:
    fresh = write_shapes(detector.work / "fresh", train=8, val=4, size=(64, 64))
    ours = {path.relative_to(shapes): path.read_bytes() for path in shapes.rglob("*") if path.is_file()}
    assert ours == {p.relative_to(fresh): p.read_bytes() for p in fresh.rglob("*") if p.is_file()}
    shutil.rmtree(fresh)


# -- resume, Ctrl-C and SIGTERM ----------------------------------------------------------------------------


def test_a_finished_training_is_prolonged(detector: Trained, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(detector.work, work, symlinks=True)
    words = [
        "train",
        DETECTOR,
        "--data",
        detector.data,
        "--work-dir",
        work,
        "--epochs",
        3,
        *SMALL,
        "--resume",
    ]
    output = run(*words)
    assert "epoch 3/3" in output
    assert "epoch 1/3" not in output
    history = json.loads((work / "metrics.json").read_text())["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3]


def start(words: list[object], *launch: str) -> subprocess.Popen[str]:
    command = [sys.executable, *launch, "-m", "mmbackbones.cli", *map(str, words)]
    env = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[str], signum: int, code: int) -> str:
    """Signal the process and its loader workers, as a terminal and a cluster do; returns the output."""
    os.killpg(process.pid, signum)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == code, output
    assert "Traceback" not in output
    return output


@pytest.mark.parametrize(
    ("config", "signum", "code"), [(DETECTOR, signal.SIGTERM, 143), (SEGMENTER, signal.SIGINT, 130)]
)
def test_a_stop_leaves_a_checkpoint_to_resume_from(
    config: str, signum: int, code: int, shapes: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    words: list[object] = ["train", config, "--data", shapes, "--work-dir", work, *SMALL]
    words += ["--epochs", 500, "--cfg-options", "train_cfg.val_interval=10000"]
    words += ["train_dataloader.num_workers=1"]
    process = start(words)
    wait_for(lambda: '"loss"' in scalars(work), process)
    output = stop(process, signum, code)
    assert f"mmbackbones train {work}/config.py --work-dir {work} --resume" in output
    checkpoint = read_checkpoint(work / "interrupted.pth")
    assert (work / "last_checkpoint").read_text() == str(work / "interrupted.pth")
    done = checkpoint["meta"]["iter"]

    process = start(["train", work / "config.py", "--work-dir", work, "--resume", "--device", "cpu"])
    wait_for(lambda: last_step(work) > done, process)
    stop(process, signum, code)
    resumed = read_checkpoint(work / "interrupted.pth")
    assert resumed["meta"]["iter"] > done
    log = "".join(path.read_text() for path in work.glob("*/*.log"))
    assert f"resumed epoch: {checkpoint['meta']['epoch']}, iter: {done}" in log


def scalars(work: Path) -> str:
    return "".join(path.read_text() for path in sorted(work.glob("*/vis_data/scalars.json")))


def last_step(work: Path) -> int:
    lines = [line for line in scalars(work).splitlines() if line.endswith("}")]
    return max((json.loads(line)["step"] for line in lines), default=0)


def wait_for(condition: object, process: subprocess.Popen[str], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(process.communicate()[0])
        time.sleep(0.1)


# -- several processes ----------------------------------------------------------------------------


def test_torchrun_trains_with_two_processes(shapes: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "mmbackbones.cli", "train", DETECTOR, "--data", str(shapes), "--work-dir", str(work)]
    command += [*SMALL, "--epochs", "1", "--launcher", "pytorch"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 processes" in done.stdout
    assert re.search(r"learning rate \S+ of the config, batch 8\b", done.stdout)  # 2 x 4 images
    assert done.stdout.count("predictions.png") == 1
    history = json.loads((work / "metrics.json").read_text())["history"]
    assert [row["epoch"] for row in history] == [1]
    assert load_config(str(work / "config.py")).train_cfg.max_epochs == 1


def test_torchrun_that_is_stopped_leaves_a_checkpoint(shapes: Path, tmp_path: Path) -> None:
    """SIGTERM goes to torchrun alone, as `docker stop` sends it; torchrun passes it on."""
    work = tmp_path / "work"
    words = ["train", DETECTOR, "--data", shapes, "--work-dir", work, *SMALL, "--epochs", 500]
    words += ["--launcher", "pytorch", "--cfg-options", "train_cfg.val_interval=10000"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = start(words, *launch)
    wait_for(lambda: '"loss"' in scalars(work), process)
    process.terminate()
    output = process.communicate(timeout=300)[0]
    assert process.returncode != 0
    assert f"--work-dir {work} --resume" in output
    assert (work / "last_checkpoint").read_text() == str(work / "interrupted.pth")
    assert read_checkpoint(work / "interrupted.pth")["meta"]["iter"] > 0


# -- test -----------------------------------------------------------------------------------------


def test_a_checkpoint_has_the_figures_of_its_training(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, checkpoint = str(trained.work / "config.py"), str(trained.work / "last.pth")
    main_exits(["test", config, checkpoint, "--work-dir", str(tmp_path), "--device", "cpu"])
    final = json.loads((trained.work / "metrics.json").read_text())["final"]
    measured = json.loads((tmp_path / "test_metrics.json").read_text())["metrics"]
    assert set(final) <= set(measured)
    assert all(measured[key] == pytest.approx(value, abs=1e-3) for key, value in final.items())
    shown = capsys.readouterr().out
    assert all(key in shown for key in final)
    assert "test_metrics.json" in shown


# -- predict --------------------------------------------------------------------------------------


def test_boxes_of_files_and_folders(
    detector: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = sorted((detector.data / "images").rglob("*.*"))[:2]
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(images[1], folder / images[0].name)  # the same name in another place
    words = ["predict", detector.work / "config.py", detector.work / "last.pth", images[0], folder]
    main_exits([*map(str, words), "--out", str(tmp_path / "out"), "--score-thr", "0.0", "--device", "cpu"])
    result = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [entry["image"] for entry in result["images"]] == [str(images[0]), str(folder / images[0].name)]
    assert len({entry["picture"] for entry in result["images"]}) == 2
    for entry in result["images"]:
        with Image.open(tmp_path / "out" / entry["picture"]) as picture:
            assert min(picture.size) >= 64
        count = len(entry["boxes"])
        assert count == len(entry["labels"]) == len(entry["scores"]) == len(entry["classes"]) > 0
        assert entry["classes"] == [CLASSES[label] for label in entry["labels"]]
        assert entry["scores"] == sorted(entry["scores"], reverse=True)
        boxes = np.asarray(entry["boxes"])
        assert boxes.min() >= 0
        assert boxes.max() <= 64
    assert "boxes" in capsys.readouterr().out


def test_a_high_threshold_leaves_boxes_out(detector: Trained, tmp_path: Path) -> None:
    image = next((detector.data / "images").rglob("*.*"))
    words = ["predict", detector.work / "config.py", detector.work / "last.pth", image, "--out", tmp_path]
    main_exits([*map(str, words), "--score-thr", "1.0", "--device", "cpu"])
    assert json.loads((tmp_path / "predictions.json").read_text())["images"][0]["boxes"] == []


def test_label_maps(segmenter: Trained, tmp_path: Path) -> None:
    image = next((segmenter.data / "images").rglob("*.*"))
    words = ["predict", segmenter.work / "config.py", segmenter.work / "last.pth", image, "--out", tmp_path]
    main_exits([*map(str, words), "--device", "cpu"])
    result = json.loads((tmp_path / "predictions.json").read_text())
    (entry,) = result["images"]
    with Image.open(tmp_path / entry["labels"]) as labels:
        assert labels.size == (64, 64)
        values = np.asarray(labels)
    names, counts = np.unique(values, return_counts=True)
    found = {result["classes"][name]: int(count) for name, count in zip(names, counts, strict=True)}
    assert entry["pixels"] == found


def main_exits(argv: list[str], code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == code
