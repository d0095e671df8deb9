"""``mmbackbones predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .options import CfgOptions, Checkpoint, Config, Device, ImgScale


def predict_command(
    config: Config,
    checkpoint: Checkpoint,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files or folders.")],
    out: Annotated[Path, typer.Option(help="Folder for pictures and predictions.json.")] = Path(
        "predictions"
    ),
    score_thr: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Leave out boxes with a lower score.")
    ] = 0.3,
    img_scale: ImgScale = None,
    device: Device = None,
    cfg_options: CfgOptions = None,
) -> None:
    """Predict images: a picture for each, and one JSON file with boxes or label maps.

    Example: mmbackbones predict work/config.py work/best.pth photo.jpg more_photos --out predictions
    """
    from rich.progress import track

    from ..compose.configs import apply_options, load_config, parse_options
    from ..compose.scale import parse_scale, set_scale
    from ..engine.devices import choose_device
    from ..engine.predict import JSON_NAME, find_images, listed, load_predictor, predict
    from ..engine.work_dir import prepare_work_dir
    from .console import new_console, shortest

    files = find_images(images)
    cfg = load_config(config)
    apply_options(cfg, parse_options(cfg_options or []))
    if img_scale is not None:
        set_scale(cfg, parse_scale(img_scale))
    chosen = choose_device(device)
    console = new_console()
    out = prepare_work_dir(out.expanduser().absolute(), "--out")
    predictor, meta = load_predictor(cfg, checkpoint, chosen, score_thr)
    entries = predict(predictor, meta, files, out)
    problems = []
    for entry in track(entries, total=len(files), description="predict", console=console):
        if "error" in entry:
            problems.append(entry["error"])
            said = f"left out. {entry['error']}"
        else:
            said = ", ".join(entry["pixels"]) if "pixels" in entry else f"{len(entry['boxes'])} boxes"
        note = f" (it has {entry['note']})" if "note" in entry else ""
        console.print(f"{entry['image']}: {said}{note}", highlight=False, soft_wrap=True)
    console.print(f"pictures and {JSON_NAME}  {shortest(out)}", soft_wrap=True, highlight=False)
    if problems:
        raise InputError(f"{len(problems)} of {len(files)} images were left out. {listed(problems)}")
