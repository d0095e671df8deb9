"""``mmbackbones config``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .config_file import check_out, write_config
from .options import BatchSize, Data, IgnoreLabel, ImgScale, Imports, import_nets, name_imports


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
    imports: Imports = None,
) -> None:
    """Write a complete config for any model with any backbone.

    Example: mmbackbones config --model retinanet --backbone convnext_tiny --data my_coco -o my.py
    """
    from ..compose.filling import compose
    from ..compose.fit import Settings

    check_out(out, force)
    import_nets(imports)
    cfg, notes = compose(model, backbone, pretrained=pretrained, weights=weights, output_stride=output_stride)
    name_imports(cfg, backbone)
    settings = Settings(data, epochs, batch_size, lr, img_scale, ignore_labels=ignore_label or ())
    write_config(cfg, f"{model} with {backbone}.", notes, settings, out, model)
