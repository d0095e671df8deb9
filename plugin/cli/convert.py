"""``mmbackbones convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError


def convert_command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Weights of torchvision's fasterrcnn_resnet50_fpn (.pth), or torchvision://<name>.<tag>.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Checkpoint to write (.pth).")],
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME,...", help="Names of the classes in order; not needed for COCO's."),
    ] = None,
    eps: Annotated[
        float | None,
        typer.Option(help="Of the frozen batch norms of a detector that did not begin as torchvision's own."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
) -> None:
    """Turn torchvision's Faster R-CNN into a checkpoint for test, predict and train.

    Its config is detection/faster-rcnn-torchvision_resnet50_fpn_1x_coco.

    Example: mmbackbones convert torchvision://fasterrcnn_resnet50_fpn.COCO_V1 -o faster.pth
    """
    from ..weights.torchvision_detectors import CONFIG, checkpoint_of, number_of_classes
    from .console import new_console, shortest

    if out.exists() and not force:
        raise InputError(f"--out {out} exists. Choose another name, or add --force to write over it.")
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    checkpoint = checkpoint_of(file, names, eps)

    import torch

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, out)
    except (OSError, RuntimeError) as error:
        raise InputError(f"--out {out} cannot be written: {error}.") from error
    count = number_of_classes(checkpoint["state_dict"])
    console = new_console()
    options = "" if count == 80 else f" --cfg-options model.roi_head.bbox_head.num_classes={count}"
    for line in (
        f"Written: {shortest(out.absolute())}, {count} classes",
        f"Use it: mmbackbones predict {CONFIG} {out} photo.jpg{options}",
    ):
        console.print(line, soft_wrap=True, highlight=False)
