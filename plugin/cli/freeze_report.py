"""``mmbackbones freeze-report``: what of a config's model would train, and how fast."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .options import CfgOptions, Config


def freeze_report_command(
    config: Config,
    cfg_options: CfgOptions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what of a config's model trains: stages, learning rates, weight decay, norms in eval mode.

    Nothing is trained and no weights are downloaded. Learning rates are the config's, before warm-up.

    Example: mmbackbones freeze-report detection/faster-rcnn_resnet50_fpn_1x_coco --cfg-options
    model.backbone.frozen_stages=2
    """
    from ..compose.configs import apply_options, load_config, parse_options
    from ..finetune.freeze_report import as_text, report_of_config

    cfg = load_config(config)
    apply_options(cfg, parse_options(cfg_options or []))
    parts = report_of_config(cfg)
    text = json.dumps([part.as_dict() for part in parts], indent=2) if as_json else as_text(parts)
    typer.echo(text)
