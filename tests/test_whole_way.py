"""From a user's data to a deployed model, on real images: each step reads what the one before it left.

Trains with three options, is killed, goes on, is measured on a test split, used in Python, exported, and run
with nothing but onnxruntime, numpy and Pillow. A minute for each task: `make sweep`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import swept
from cli_trainings import main_exits
from export_cases import found_alone
from PIL import Image
from test_cli_stops import scalars, wait_for
from torchvision.ops import box_iou
from warm import Command

import mmbackbones
from mmbackbones.weights.files import read_checkpoint

pytestmark = swept("two trainings and an export")
PARTS = {"train": range(12), "val": range(12, 16), "test": range(16, 20)}
CONFIGS = {
    "detection": "detection/ssdlite_mobilenetv3-large-minimal-scratch_1xb8-8e_coco-160x160",
    "segmentation": "segmentation/bisenet_resnet18-scratch_1xb8-8k_cityscapes-360x480",
}


def boxes(source: Path, folder: Path) -> Path:
    """Twenty images of BCCD with a test split."""
    truth = json.loads((source / "train.json").read_text())
    (folder / "images").mkdir(parents=True)
    for part, numbers in PARTS.items():
        images = [truth["images"][number] for number in numbers]
        ids = {image["id"] for image in images}
        of_them = [one for one in truth["annotations"] if one["image_id"] in ids]
        (folder / f"{part}.json").write_text(json.dumps({**truth, "images": images, "annotations": of_them}))
        for image in images:
            shutil.copy(source / "images" / image["file_name"], folder / "images")
    return folder


def labels(source: Path, folder: Path) -> Path:
    """Twenty images of CamVid with a test split."""
    images = sorted((source / "images" / "train").iterdir())[::18]
    for part, numbers in PARTS.items():
        for kind, suffix in (("images", ".jpg"), ("labels", ".png")):
            (folder / kind / part).mkdir(parents=True)
            for number in numbers:
                name = images[number].with_suffix(suffix).name
                shutil.copy(source / kind / "train" / name, folder / kind / part)
    return folder


@pytest.mark.parametrize("task", CONFIGS)
def test_from_data_to_a_folder_that_runs_alone(
    task: str, shared: Path, tmp_path: Path, exporter: None, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra export")
    make = {"detection": (boxes, "bccd"), "segmentation": (labels, "camvid")}[task]
    data, work = make[0](shared / "data" / make[1], tmp_path / "data"), tmp_path / "work"
    words = [
        "--img-scale",
        "128x96",
        "--batch-size",
        "4",
        "--device",
        "cpu",
        "--seed",
        "0",
        "--epochs",
        "200",
    ]
    words += ["--ema", "--class-balance", "--early-stop", "150", "--save-every", "0.02"]
    first = Command(["train", CONFIGS[task], "--data", data, "--work-dir", work, *words], tmp_path / "1.txt")
    wait_for((work / "interrupted.pth").is_file, first)
    wait_for(lambda: '"loss"' in scalars(work), first)
    first.kill()  # as a machine that goes down
    done = read_checkpoint(work / "interrupted.pth")["meta"]["iter"]

    config, weights = work / "config.py", work / "last.pth"
    again = ["train", config, "--work-dir", work, "--resume", "--device", "cpu", "--cfg-options"]
    again += [f"train_cfg.{'max_epochs' if task == 'detection' else 'max_iters'}={ends(work, task)}"]
    Command([str(word) for word in again], tmp_path / "2.txt").end(0)
    assert "resumed epoch" in "".join(path.read_text() for path in work.glob("*/*.log"))
    assert read_checkpoint(sorted(work.glob("[ei]*_*.pth"))[-1])["meta"]["iter"] >= done

    main_exits("test", config, weights, "--data", data, "--split", "test", "--work-dir", tmp_path / "tested")
    assert ("bbox_mAP" if task == "detection" else "mIoU") in capsys.readouterr().out
    photos = sorted((data / "images").rglob("*.jpg"))[-3:]
    model = mmbackbones.load(work, device="cpu", score_thr=0.0)
    found = model(photos)
    assert found[0].plot().shape == (*np.asarray(Image.open(photos[0])).shape[:2], 3)
    main_exits("export", config, work / "best.pth", "-o", tmp_path / "deploy")
    lone = found_alone(tmp_path / "deploy", photos, tmp_path)
    for k, one in enumerate(found):
        if task == "segmentation":
            assert (lone[f"label_map{k}"] == one.label_map).mean() > 0.999
            continue
        np.testing.assert_allclose(lone[f"scores{k}"], one.scores, rtol=0, atol=2e-3)
        overlap = box_iou(torch.from_numpy(lone[f"boxes{k}"]).float(), torch.from_numpy(one.boxes))
        same = torch.from_numpy(lone[f"labels{k}"])[:, None] == torch.from_numpy(one.labels)
        assert ((overlap * same).amax(1) > 0.99).float().mean() > 0.95  # near ties may change places


def ends(work: Path, task: str) -> int:
    """The epoch or iteration after the next evaluation, so that the training need not go all its way."""
    meta = read_checkpoint(work / "interrupted.pth")["meta"]
    return meta["epoch"] + 2 if task == "detection" else meta["iter"] + 6
