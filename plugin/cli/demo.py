"""``mmbackbones demo``."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Annotated

import typer

from ..engine.own_process import cores
from ..errors import need
from .options import Device
from .together import call_together

CONFIG = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
TRAIN, VAL = 800, 120  # images
SIZE = (160, 160)  # pixels
EPOCHS = 6  # three minutes on two cores are the limit, the drawing and the evaluations included
BATCH, LR = 6, 3e-3  # images of a step, of all processes
#: For a training of 800 steps: a short warm-up, and an optimiser that forgets soon. For its time: fewer
#: proposals to compare with each other, and two evaluations.
OPTIONS = [
    "param_scheduler.0.end=40",
    "optim_wrapper.optimizer.betas=(0.9, 0.99)",
    "model.train_cfg.rpn_proposal.nms_pre=200",
    "train_cfg.val_interval=3",
]


def demo_command(
    work_dir: Annotated[Path, typer.Option(help="Folder for the data set and all results.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the images and of the training.")] = 0,
    device: Device = None,
) -> None:
    """Generate images of shapes and train a detector on them: nothing is downloaded, minutes on two cores.

    Example: mmbackbones demo --work-dir demo
    """
    need("mmdet", "mmcv", "pycocotools")
    from ..compose.settings import Settings
    from ..data.shapes import write_shapes
    from .console import new_console, reading
    from .train import run

    console = new_console()
    with reading(console, verb="draw") as progress:
        data = write_shapes(
            work_dir / "data",
            train=TRAIN,
            val=VAL,
            size=SIZE,
            seed=seed,
            progress=lambda done, total: progress("images", done, total),
            processes=min(2, cores()),
        )
    console.print(
        f"{TRAIN} images to train on and {VAL} to check on: {data}", highlight=False, soft_wrap=True
    )
    processes = 1 if on_gpu(device) else min(2, cores())
    settings = Settings(data, EPOCHS, BATCH // processes, LR, seed=seed, options=OPTIONS)
    call_together(processes, run, CONFIG, settings, work_dir, device=device)


def on_gpu(device: str | None) -> bool:
    """Whether a training with that ``--device`` runs on a GPU; without a driver torch is not imported."""
    if device is not None:
        return device != "cpu"
    for driver in ("libcuda.so.1", "nvcuda.dll"):
        try:
            ctypes.CDLL(driver)
        except OSError:
            continue
        import torch

        return torch.cuda.is_available()
    return False
