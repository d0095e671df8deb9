"""What a training leaves, used by mmdet's and mmseg's own Python in a fresh process, without our commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmbackbones.cli import main
from mmbackbones.compose.configs import config_folder
from mmbackbones.data.shapes import CLASSES, write_shapes

CONFIGS = {
    "detection": "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160",
    "segmentation": "segmentation/deeplabv3plus_resnet18-scratch-d16_1xb8-8k_cityscapes-360x480",
}
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


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("results") / "shapes", train=4, val=2, size=(64, 64))


@pytest.fixture(scope="module", params=CONFIGS)
def trained(request: pytest.FixtureRequest, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of the task that it is named by."""
    work = tmp_path_factory.mktemp("trained") / request.param
    words = ["train", CONFIGS[request.param], "--data", shapes, "--work-dir", work, "--epochs", 1]
    words += ["--img-scale", "64x64", "--batch-size", 2, "--device", "cpu", "--seed", 0]
    if request.param == "detection":  # so little training finds nothing that it is sure of
        words += ["--cfg-options", "model.test_cfg.rcnn.score_thr=0.0"]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 0
    return work


def test_weights_are_read_without_any_allowance(trained: Path) -> None:
    files = [*trained.glob("best*.pth"), trained / "last.pth"]
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
    state = torch.load(next(trained.glob("[ei]*_*.pth")), weights_only=False)  # made here
    assert {"optimizer", "message_hub", "param_schedulers"} <= state.keys()
    last = contents[-1]["state_dict"]
    assert last.keys() == state["state_dict"].keys()
    assert all(torch.equal(last[key], state["state_dict"][key]) for key in last)


def test_test_tool_and_inferencers_predict_and_draw(trained: Path, shapes: Path) -> None:
    """``tools/test.py --show-dir`` as mmdet and mmseg ship it, then the inferencers, in one process."""
    photo = next((shapes / "images").rglob("*.*"))
    folder = config_folder({"detection": "mmdet", "segmentation": "mmseg"}[trained.name])
    assert folder is not None
    tool = str(folder.parent / "tools" / "test.py")
    words = [tool, "config.py", "best.pth", "--work-dir", "tested", "--show-dir", "shown"]
    words += ["--cfg-options", "default_hooks.visualization.interval=1"]
    test = f"import runpy, sys\nsys.argv = {words}\nrunpy.run_path({tool!r}, run_name='__main__')"
    program = f"PHOTO = {str(photo)!r}\n{test}\n{INFERENCES[trained.name]}"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=trained, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (drawn,) = (trained / "drawn").rglob(f"{photo.stem}.*")
    shown = [path for path in trained.rglob("shown/**/*.*") if path.suffix in (".png", ".jpg")]
    assert len(shown) == 2  # the validation images
    for path in (drawn, *shown):
        with Image.open(path) as picture:
            assert picture.height == 64
