"""``mmbackbones convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from .options import Force

LAYOUTS = ("mmbackbones", "openmmlab")


def convert_command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Weights of a detector or segmentor of torchvision (.pth, torchvision://<name>.<tag>), or "
            "with --backbone of mmdet, mmseg, mmpretrain or ours.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Checkpoint to write (.pth).")],
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The backbone that FILE is of, alone or in a detector or segmentor."
        ),
    ] = None,
    to: Annotated[
        str, typer.Option(metavar="|".join(LAYOUTS), help="Whose names the backbone's weights get.")
    ] = LAYOUTS[0],
    like: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS|FILE",
            help="With --to openmmlab: mmdet.SwinTransformer, or a file of OpenMMLab's network of that size.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME,...", help="Names of the classes in order; not needed for COCO's."),
    ] = None,
    eps: Annotated[
        float | None,
        typer.Option(help="Of the frozen batch norms of a detector that did not begin as torchvision's own."),
    ] = None,
    force: Force = False,
) -> None:
    """Turn torchvision's detectors and segmentors into checkpoints for us, or a backbone into OpenMMLab's.

    Which model of torchvision a file is of is seen in it; its config here is said. Weights of OpenMMLab's
    backbones load without this command; --to openmmlab makes files for mmdet, mmseg and mmpretrain.

    Example: mmbackbones convert torchvision://fasterrcnn_resnet50_fpn.COCO_V1 -o faster.pth

    Example: mmbackbones convert work/best.pth --backbone swin_tiny --to openmmlab -o swin.pth
    """
    from ..weights.torchvision_models import checkpoint_of
    from .console import new_console, shortest

    if out.exists() and not force:
        raise InputError(f"--out {out} exists. Choose another name, or add --force to write over it.")
    if to not in LAYOUTS:
        raise InputError(f"--to '{to}' is not known; use {' or '.join(LAYOUTS)}.")
    if backbone is None and (to != LAYOUTS[0] or like is not None):
        raise InputError("--to and --like are for a backbone's weights: name it, as in --backbone swin_tiny.")
    console = new_console()
    if backbone is not None:
        if classes is not None or eps is not None:
            raise InputError(
                "--classes and --eps are for torchvision's models; leave them or --backbone out."
            )
        state, notes = _renamed(file, backbone, to, like)
        _write({"meta": {}, "state_dict": state}, out)
        lines = [
            f"Written: {shortest(out.absolute())}, {len(state)} tensors",
            *notes,
            f"Use it: backbone=dict(..., init_cfg=dict(type='Pretrained', checkpoint='{out}'))",
        ]
    else:
        names = None if classes is None else [name.strip() for name in classes.split(",")]
        converted = checkpoint_of(file, names, eps)
        _write(converted.checkpoint, out)
        count = len(converted.checkpoint["meta"]["dataset_meta"]["classes"])
        settings = "".join(f" {option}" for option in converted.options)
        options = f" --cfg-options{settings}" if settings else ""
        lines = [
            f"Written: {shortest(out.absolute())}, torchvision's {converted.row.name}, {count} classes",
            *converted.notes,
            f"Use it: mmbackbones predict {converted.row.config} {out} photo.jpg{options}",
        ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _renamed(file: str, backbone: str, to: str, like: str | None) -> tuple[dict[str, Any], list[str]]:
    """The backbone's weights in ``file`` by our names, or by those of OpenMMLab's class; and what to know."""
    from ..backbone import build
    from ..sources.feature_net import PYRAMID_NAME
    from ..weights.checkpoints import norms_of_maps
    from ..weights.counterparts import counterpart, every_counterpart
    from ..weights.files import read_checkpoint, state_dict_of
    from ..weights.loading import some

    rows = [row for row in every_counterpart() if row.name == backbone]
    compared = next((row.ours for row in rows if row.theirs == like), rows[0].ours if rows else {})
    net = build(backbone, pretrained=file, net_kwargs=compared.get("net_kwargs"))
    report = net.load_report
    if report is not None and report.missing:
        raise InputError(f"{file} has not all weights of {backbone}: {some(report.missing)} are missing.")
    if to == LAYOUTS[0]:
        return {k: v for k, v in net.state_dict().items() if not k.startswith(f"{PYRAMID_NAME}.")}, []
    if like is not None and Path(like).is_file():
        given = state_dict_of(read_checkpoint(like), like)
        inside = {k.removeprefix("backbone."): v for k, v in given.items() if k.startswith("backbone.")}
        template, source = inside or given, like
    else:
        row = counterpart(backbone, like)
        template, source = dict(row.build_theirs().state_dict()), f"a new {row.theirs}"
    norms = norms_of_maps(state_dict_of(read_checkpoint(file), file), template)
    lacking = [name for name, value in norms.items() if value is None]
    found = {name: value for name, value in norms.items() if value is not None}
    notes = [f"Of {source}, since {file} has no norms of these maps: {some(lacking)}"] if lacking else []
    return net.named_as(template) | found, notes


def _write(checkpoint: dict[str, Any], out: Path) -> None:
    import torch

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, out)
    except (OSError, RuntimeError) as error:
        raise InputError(f"--out {out} cannot be written: {error}.") from error
