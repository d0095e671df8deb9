"""What a training leaves, used by mmdet's and mmseg's own Python in a fresh process, without our commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from autoload import FIRST
from cli_trainings import IMAGES, Trained
from PIL import Image

from mmbackbones.compose.configs import config_folder
from mmbackbones.data.shapes import CLASSES

INFERENCES = {
    "detection": """
from mmdet.apis import DetInferencer
found = DetInferencer("config.py", "best.pth", device="cpu")(PHOTO, out_dir="drawn", pred_score_thr=0.0)
assert found["predictions"][0]["labels"]
DetInferencer("config.py", "last.pth", device="cpu")
""",
    "segmentation": """
import numpy as np
from mmseg.apis import MMSegInferencer, inference_model, init_model
model = init_model("config.py", "best.pth", device="cpu")
label = inference_model(model, PHOTO).pred_sem_seg.data[0].numpy()
inferencer = MMSegInferencer("config.py", "last.pth", device="cpu")
inferencer(PHOTO, out_dir="drawn")
best = MMSegInferencer("config.py", "best.pth", device="cpu")(PHOTO)["predictions"]
assert np.array_equal(best, label)
""",
}


@pytest.fixture
def work(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the folder of a training, named by its task."""
    task = {"detector": "detection", "segmenter": "segmentation"}[trained.work.name]
    return Path(shutil.copytree(trained.work, tmp_path / task, symlinks=True))


def test_weights_are_read_without_any_allowance(work: Path) -> None:
    files = [*work.glob("best*.pth"), work / "last.pth"]
    assert len(files) == 3
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        contents = [torch.load(file, weights_only=True) for file in files]
    finally:
        torch.serialization.add_safe_globals(allowed)
    for content in contents:
        assert content.keys() == {"meta", "state_dict"}
        assert content["meta"]["dataset_meta"]["classes"][-len(CLASSES) :] == CLASSES
    state = torch.load(sorted(work.glob("[ei]*_*.pth"))[-1], weights_only=False)  # made here
    assert {"optimizer", "message_hub", "param_schedulers"} <= state.keys()
    last = contents[-1]["state_dict"]
    assert last.keys() == state["state_dict"].keys()
    assert all(torch.equal(last[key], state["state_dict"][key]) for key in last)


def test_test_tool_and_inferencers_predict_and_draw(work: Path, trained: Trained) -> None:
    """``tools/test.py --show-dir`` as mmdet and mmseg ship it, then the inferencers, in one process.

    With torch >= 2.5 nothing in it imports mmbackbones: that mmdet and mmseg can be imported, for want of
    ``mmcv._ext``, is due to torch's entry points, by which our finder is put in place.
    """
    photo = next((trained.data / "images").rglob("*.*"))
    folder = config_folder({"detection": "mmdet", "segmentation": "mmseg"}[work.name])
    assert folder is not None
    tool = str(folder.parent / "tools" / "test.py")
    words = [tool, "config.py", "best.pth", "--work-dir", "tested", "--show-dir", "shown"]
    words += ["--cfg-options", "default_hooks.visualization.interval=1"]
    test = f"import runpy, sys\nsys.argv = {words}\nrunpy.run_path({tool!r}, run_name='__main__')"
    program = f"{FIRST}PHOTO = {str(photo)!r}\n{test}\n{INFERENCES[work.name]}"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], cwd=work, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (drawn,) = (work / "drawn").rglob(f"{photo.stem}.*")
    shown = [path for path in work.rglob("shown/**/*.*") if path.suffix in (".png", ".jpg")]
    assert len(shown) == IMAGES["val"]  # the validation images
    for path in (drawn, *shown):
        with Image.open(path) as picture:
            assert picture.height == 64
