"""``mmbackbones recommend``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..catalog.selection import SCENES, TASKS, TITLES
from ..compose.imports import import_nets
from .options import Data, Device, IgnoreLabel, ImgScale, Imports, quiet_log

if TYPE_CHECKING:
    from rich.console import Console

    from ..advisor.recommend import Answer


def recommend_command(
    task: Annotated[str, typer.Option(help=f"{', '.join(TASKS)}.")],
    scene: Annotated[
        str | None, typer.Option(help=f"{', '.join(SCENES)}; default: all, the most accurate first.")
    ] = None,
    images: Annotated[int | None, typer.Option(help="How many training images you have.")] = None,
    data: Data = None,
    ignore_label: IgnoreLabel = None,
    max_params: Annotated[
        str | None, typer.Option(help="Most parameters of the backbone up to its last map, as 10M.")
    ] = None,
    max_gflops: Annotated[
        float | None,
        typer.Option(help="Most billions of multiply-adds of the backbone for an image of 224x224."),
    ] = None,
    max_latency: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="Most milliseconds of the whole model for one image, measured here and now.",
        ),
    ] = None,
    img_scale: ImgScale = None,
    device: Device = None,
    no_se: Annotated[bool, typer.Option("--no-se", help="No squeeze and excitation.")] = False,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license", help="Only weights with this licence, or several with commas, as apache-2.0."
        ),
    ] = None,
    records: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a leaderboard of yours, whose records count; may be repeated."),
    ] = None,
    imports: Imports = None,
    top: Annotated[int, typer.Option(help="How many answers.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Which backbone and model to train, why, and by which command.

    Limits filter first. What is left is ranked by the selection tables and by records of trainings; where
    these cannot tell two nets apart, the cheaper comes first. --img-scale and --device are for --max-latency.

    Example: mmbackbones recommend --task detection --scene mobile --max-params 3M --data my_coco
    """
    from rich.console import Console

    from ..advisor.recommend import recommend
    from .console import reading

    import_nets(imports)
    console = Console(soft_wrap=True, highlight=False)
    with quiet_log(), reading(Console(stderr=True)) as progress:
        answers = recommend(
            task,
            scene=scene,
            images=images,
            data=data,
            max_params=max_params,
            max_gflops=max_gflops,
            max_latency=max_latency,
            img_scale=img_scale,
            device=device,
            no_se=no_se,
            license=licence,
            records=records or (),
            ignore_labels=ignore_label or (),
            top=top,
            progress=progress,
        )
    if as_json:
        console.print(json.dumps([asdict(answer) for answer in answers], indent=1), markup=False)
        return
    for place, answer in enumerate(answers, 1):
        _print(console, place, answer)


def _print(console: Console, place: int, answer: Answer) -> None:
    title = TITLES.get(answer.model, answer.model)
    console.print(f"{place}. {title} with {answer.backbone}", style="bold", markup=False)
    costs = [f"{answer.params / 1e6:.3g}M parameters"]
    costs += [f"{answer.gflops:.3g} GFLOPs at 224x224"] if answer.gflops else []
    lines = {"backbone": ", ".join(costs)}
    if answer.latency_ms is not None:
        lines["latency"] = f"{answer.latency_ms:.4g} ms for one image, measured now"
    lines["weights"] = f"licence {answer.licence}" if answer.licence else "none: trained from random ones"
    if answer.config:
        lines["config"] = answer.config
    for name, value in lines.items():
        console.print(f"   {name:<9} {value}", markup=False)
    for number, why in enumerate(answer.evidence):
        console.print(f"   {'why' if not number else '':<9} {why}", markup=False)
    for number, command in enumerate(answer.commands):
        console.print(f"   {'train' if not number else '':<9} {command}", markup=False)
