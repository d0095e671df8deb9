"""``mmbackbones predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from .options import CfgOptions, Checkpoint, Config, Data, Device, ImgScale, Split, Test, parse_split


def predict_command(
    config: Config,
    checkpoint: Checkpoint,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[IMAGES]...", help="Image files, videos, or folders of them; or give --split."
        ),
    ] = None,
    data: Data = None,
    split: Split = None,
    test: Test = None,
    out: Annotated[Path, typer.Option(help="Folder for pictures and predictions.json.")] = Path(
        "predictions"
    ),
    score_thr: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Leave out boxes with a lower score.")
    ] = 0.3,
    save_json: Annotated[
        bool, typer.Option("--save-json", help="Also coco_results.json, boxes and masks as COCO's results.")
    ] = False,
    save_masks: Annotated[
        bool,
        typer.Option(
            "--save-masks", help="Also PNGs of instance masks: the number of the object at each pixel."
        ),
    ] = False,
    img_scale: ImgScale = None,
    device: Device = None,
    cfg_options: CfgOptions = None,
) -> None:
    """Predict images and videos: a picture for each, and one JSON file with boxes or label maps.

    Example: mmbackbones predict work/config.py work/best.pth photo.jpg more_photos --out predictions
    """
    from rich.progress import track

    from ..compose.configs import apply_options, load_config, parse_options
    from ..compose.fit import Settings, fit_for_test
    from ..compose.scale import parse_scale, set_scale
    from ..engine.coco_results import RESULTS_NAME, CocoResults
    from ..engine.devices import choose_device
    from ..engine.images import find_images, listed
    from ..engine.layout import fold_norms
    from ..engine.load import load_predictor
    from ..engine.predict import JSON_NAME, Output, check_outputs, images_of_split, predict
    from ..engine.work_dir import check_work_dir, prepare_work_dir
    from .console import new_console, reading, shortest

    of_split = parse_split(split) or data is not None or test is not None
    if bool(images) == bool(of_split):
        raise InputError("Give IMAGES, or --split val or test (of --data, or of the config): one of both.")
    files = find_images(images or []) if images else []
    cfg = load_config(config)
    console = new_console()
    chosen = choose_device(device)
    folder = check_work_dir(out.expanduser().absolute(), "--out")
    if of_split:
        settings = Settings(
            data, img_scale=img_scale, options=cfg_options or [], test=test, split=parse_split(split)
        )
        with reading(console) as progress:
            fit_for_test(cfg, settings, cache_dir=folder / "data_cache", progress=progress)
        files = images_of_split(cfg)
    else:
        apply_options(cfg, parse_options(cfg_options or []))
        if img_scale is not None:
            set_scale(cfg, parse_scale(img_scale))
    predictor = load_predictor(cfg, checkpoint, chosen, score_thr)
    fold_norms(predictor.model)  # nobody trains or saves it
    check_outputs(predictor, save_json=save_json, save_masks=save_masks)
    prepare_work_dir(folder, "--out")
    output = Output(folder, CocoResults(cfg, predictor.classes) if save_json else None, save_masks)
    problems = []
    entries = predict(predictor, files, output)
    for entry in track(entries, total=len(files), description="predict", console=console):
        if "error" in entry:
            problems.append(entry["error"])
        note = f" (it has {entry['note']})" if "note" in entry else ""
        console.print(f"{entry['image']}: {_said(entry)}{note}", highlight=False, soft_wrap=True)
    written = f"pictures and {JSON_NAME}{f', {RESULTS_NAME}' if save_json else ''}"
    console.print(f"{written}  {shortest(folder)}", soft_wrap=True, highlight=False)
    if problems:
        raise InputError(f"{len(problems)} of {len(files)} images were left out. {listed(problems)}")


def _said(entry: dict[str, Any]) -> str:
    """What was found in a file, in a few words."""
    if "error" in entry:
        return f"left out. {entry['error']}"
    if "frames" in entry:
        boxes = sum(len(frame.get("boxes", ())) for frame in entry["frames"])
        return f"{len(entry['frames'])} frames" + (f", {boxes} boxes" if boxes else "")
    return ", ".join(entry["pixels"]) if "pixels" in entry else f"{len(entry['boxes'])} boxes"
