"""``mmbackbones config``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .options import BatchSize, Data, IgnoreLabel, ImgScale


def config_command(
    model: Annotated[str, typer.Option(help="Detector or segmenter, as faster-rcnn or upernet.")],
    backbone: Annotated[
        str, typer.Option(help="A name of `mmbackbones list`, timm:<name> or torchvision:<name>.")
    ],
    data: Data = None,
    ignore_label: IgnoreLabel = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; default: standard output.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: BatchSize = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate; default: follows the batch size.")] = None,
    img_scale: ImgScale = None,
    pretrained: Annotated[bool, typer.Option(help="Start from the backbone's default weights.")] = True,
    weights: Annotated[
        str | None, typer.Option(help="Instead of the default weights: a tag, an address or a file.")
    ] = None,
    output_stride: Annotated[
        int | None, typer.Option(help="Of a dilated backbone (DeepLabV3+): 8, 16 or 32; default 8.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
) -> None:
    """Write a complete config for any model with any backbone.

    Example: mmbackbones config --model retinanet --backbone convnext_tiny --data my_coco -o my.py
    """
    from ..compose.config_text import config_text
    from ..compose.fit import Settings, fit
    from ..compose.models import compose
    from .console import new_console, reading, shortest

    if out is not None and out.suffix != ".py":
        raise InputError(
            f"--out {out}: mmengine reads configs from .py files; write {out.with_suffix('.py')}."
        )
    if out is not None and out.exists() and not force:
        raise InputError(f"--out {out} exists. Choose another name, or add --force to write over it.")
    cfg, notes = compose(model, backbone, pretrained=pretrained, weights=weights, output_stride=output_stride)
    console = new_console()
    folder = (out.parent if out is not None else Path()).expanduser().absolute()
    settings = Settings(data, epochs, batch_size, lr, img_scale, ignore_labels=ignore_label or ())
    if settings != Settings():
        with reading(console) as progress:
            cache = folder / f"{out.stem if out is not None else model}_data"
            notes += fit(cfg, settings, cache_dir=cache, progress=progress)
    file = out.name if out is not None else "my.py"
    header = [f"{model} with {backbone}.", f"Train: mmbackbones train {file}", *notes]
    text = config_text(cfg, header)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error.strerror or error}.") from error
    for note in notes:
        console.print(f"  {note}", highlight=False)
    console.print(f"Written: {shortest(out.absolute())}", soft_wrap=True, highlight=False)
