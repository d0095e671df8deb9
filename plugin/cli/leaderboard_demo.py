"""What ``mmbackbones leaderboard demo`` runs: a spec and generated images."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError

DEMO = "demo"
_CLASSES = ("background", "shape")
_SPEC = """\
# What `mmbackbones leaderboard demo` runs: three small nets from random weights, which learn to find shapes
# on textured grounds: the generated images of `mmbackbones demo`, with one class for all shapes.
data: data
task: segmentation
architecture: swiftnet
backbones: [mobilenetv1_025, "timm:resnet10t", resnet18]
epochs: 6
batch_size: 8
image_size: 64x64
seeds: 3
pretrained: false
trials:
  adamw: {type: AdamW, lr: 2e-3, weight_decay: 0.01}
device: cpu
options:
  train_dataloader.num_workers: 0
  val_dataloader.num_workers: 0
  train_cfg.val_interval: 40
  # For so short a training: whole images of nearly their size, and statistics of norms that follow soon.
  train_dataloader.dataset.pipeline.2.ratio_range: (1.0, 1.25)
  train_dataloader.dataset.pipeline.3.crop_size: (64, 64)
  model.data_preprocessor.size: (64, 64)
  model.decode_head.spp_norm_cfg.momentum: 0.1
"""


def write_demo(folder: Path) -> Path:
    """The demo's spec and its images, in the board's folder; returns the spec's file.

    Raises:
        InputError: the folder holds another spec under that name, or cannot be written.
    """
    from ..data.shapes import write_shapes
    from ..engine.work_dir import prepare_work_dir

    prepare_work_dir(folder)
    path = folder / f"{DEMO}.yaml"
    if path.is_file() and path.read_text(encoding="utf-8") != _SPEC:
        raise InputError(f"{path} is another spec, which would be lost. Give it by name, or another folder.")
    _join_classes(write_shapes(folder / "data", train=160, val=60, size=(64, 64)))
    path.write_text(_SPEC, encoding="utf-8")
    return path


def _join_classes(data: Path) -> None:
    """Make one class of all shapes; a second time changes nothing."""
    import cv2
    import numpy as np

    names = "\n".join(_CLASSES) + "\n"
    if (data / "classes.txt").read_text(encoding="utf-8") == names:
        return
    for label in sorted((data / "labels").rglob("*.png")):
        shape = np.asarray(cv2.imread(str(label), cv2.IMREAD_UNCHANGED)) > 0
        label.write_bytes(cv2.imencode(".png", shape.astype(np.uint8))[1].tobytes())
    (data / "classes.txt").write_text(names, encoding="utf-8")  # last: what was killed before begins again
