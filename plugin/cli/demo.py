"""``mmbackbones demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import need
from .options import Device

CONFIG = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
TRAIN, VAL = 800, 120  # images
SIZE = (160, 160)  # pixels
EPOCHS = 7  # eight minutes on two cores are the limit, the drawing and the evaluations included


def demo_command(
    work_dir: Annotated[Path, typer.Option(help="Folder for the data set and all results.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the images and of the training.")] = 0,
    device: Device = None,
) -> None:
    """Generate images of shapes and train a detector on them: nothing is downloaded, minutes on two cores.

    Example: mmbackbones demo --work-dir demo
    """
    need("mmdet", "mmcv", "pycocotools")
    from ..compose.fit import Settings
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
        )
    console.print(
        f"{TRAIN} images to train on and {VAL} to check on: {data}", highlight=False, soft_wrap=True
    )
    run(CONFIG, Settings(data=data, seed=seed, epochs=EPOCHS), work_dir, device=device)
