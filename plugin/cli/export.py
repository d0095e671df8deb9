"""``mmbackbones export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .options import CfgOptions, Checkpoint, Config, Data, IgnoreLabel, ImgScale

if TYPE_CHECKING:
    from mmengine.config import Config as Cfg


def export_command(
    config: Config,
    checkpoint: Checkpoint,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for model.onnx, model.json and run.py, or a .onnx file alone; default: a folder "
            "beside the checkpoint.",
        ),
    ] = None,
    img_scale: ImgScale = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Images of any size.")] = False,
    nms: Annotated[
        bool,
        typer.Option(
            "--nms",
            help="Choose boxes inside the file: non-maximum suppression as an operator. Two-stage models "
            "always do.",
        ),
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also a file in 8 bits; needs --data to see the ranges of values.")
    ] = False,
    openvino: Annotated[
        bool,
        typer.Option("--openvino", help="Also as OpenVINO's: in 16 bits, and in 8 with --int8 (NNCF)."),
    ] = False,
    calibration_images: Annotated[
        int, typer.Option(help="Training images that --int8 looks at.", min=1)
    ] = 64,
    data: Data = None,
    ignore_label: IgnoreLabel = None,
    cfg_options: CfgOptions = None,
) -> None:
    """Write a model as ONNX with a program that runs it; with --data, measure what it and 8 bits keep.

    Example: mmbackbones export work/config.py work/best.pth --data my_coco --int8
    """
    from ..compose.configs import load_config
    from ..compose.fit import Settings, fit_for_test
    from ..export.export import export, measure
    from ..export.folder import RUN, check_folder, resizing
    from .console import new_console, reading, shortest

    if int8 and data is None:
        raise InputError("--int8 needs --data: the ranges of the values are taken from its training images.")
    cfg = load_config(config)
    console = new_console()
    target = (out or checkpoint.with_name(f"{checkpoint.stem}_onnx")).expanduser().absolute()
    if target.suffix not in ("", ".onnx") and not target.is_dir():
        raise InputError(
            f"--out {target.name}: name a folder, or an ONNX file, which ends in .onnx: {target.stem}.onnx."
        )
    if target.suffix != ".onnx":
        check_folder(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        data=data, img_scale=img_scale, options=cfg_options or [], ignore_labels=ignore_label or []
    )
    with reading(console) as progress:
        notes = fit_for_test(cfg, settings, cache_dir=target.parent / "data_cache", progress=progress)
    for note in notes:
        console.print(f"  {note}", highlight=False)
    images = calibration_images if int8 else 0
    files = export(cfg, checkpoint, target, dynamic=dynamic, int8=images, nms=nms, openvino=openvino)
    _print_table(console, cfg, measure(cfg, checkpoint, files, data is not None))
    for what, path in files.items():
        console.print(f"{what:<15}{shortest(path)}", soft_wrap=True, highlight=False)
    if target.suffix != ".onnx":
        if not dynamic and resizing(cfg)["keep_ratio"]:
            console.print(
                "Images of other proportions are filled up to the file's size, and what is found in them is "
                "not quite what `predict` finds; with --dynamic it is.",
                highlight=False,
            )
        console.print(f"run with  python {shortest(target / RUN)} IMAGES", soft_wrap=True, highlight=False)


def _print_table(console: Any, cfg: Cfg, rows: dict[str, dict[str, float]]) -> None:
    """One line for each form of the model."""
    from rich.table import Table

    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table("", *names, box=None, padding=(0, 2, 0, 0))
    for what, row in rows.items():
        table.add_row(what, *(f"{row[name]:.4g}" if name in row else "" for name in names))
    console.print(table)
