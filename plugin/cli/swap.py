"""``mmbackbones swap``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..compose.imports import import_nets, name_imports
from .config_file import check_out, write_config
from .options import (
    BackboneName,
    BatchSize,
    Config,
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


def swap_command(
    config: Config,
    backbone: BackboneName,
    data: Data = None,
    ignore_label: IgnoreLabel = None,
    out: ConfigOut = None,
    at: Annotated[
        str | None, typer.Option(help="Which of a model's backbones, as reid in a tracker; default: its own.")
    ] = None,
    frozen_stages: Annotated[
        int | None, typer.Option(help="0: freeze the stem; k: also the first k stages.")
    ] = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    img_scale: ImgScale = None,
    pretrained: Pretrained = True,
    weights: Weights = None,
    force: Force = False,
    imports: Imports = None,
) -> None:
    """Put another backbone into any config of mmdet, mmseg, this package, or your own.

    Example: mmbackbones swap mmdet::dino/dino-4scale_r50_8xb2-12e_coco --backbone convnext_tiny -o my.py
    """
    from ..compose.fit import Settings
    from ..compose.swap import swapped

    check_out(out, force)
    import_nets(imports)
    args = {} if frozen_stages is None else {"frozen_stages": frozen_stages}
    cfg, notes = swapped(config, backbone, at=at, pretrained=pretrained, weights=weights, **args)
    name_imports(cfg, backbone)
    settings = Settings(data, epochs, batch_size, lr, img_scale, ignore_labels=ignore_label or ())
    write_config(cfg, f"{config} with {backbone}.", notes, settings, out, "swap")
