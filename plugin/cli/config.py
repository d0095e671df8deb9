"""``mmbackbones config``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..compose.imports import import_nets, name_imports
from .config_file import check_out, write_config
from .options import (
    BackboneName,
    BatchSize,
    ConfigOut,
    Data,
    Epochs,
    Force,
    IgnoreLabel,
    ImgScale,
    Imports,
    Lr,
    Pretrained,
    Weights,
)


def config_command(
    model: Annotated[str, typer.Option(help="Detector or segmenter, as faster-rcnn or upernet.")],
    backbone: BackboneName,
    data: Data = None,
    ignore_label: IgnoreLabel = None,
    out: ConfigOut = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    img_scale: ImgScale = None,
    pretrained: Pretrained = True,
    weights: Weights = None,
    output_stride: Annotated[
        int | None, typer.Option(help="Of a dilated backbone (DeepLabV3+): 8, 16 or 32; default 8.")
    ] = None,
    force: Force = False,
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
