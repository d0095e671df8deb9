"""``mmbackbones train``."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..finetune.recipes import AMOUNTS
from .console import new_console, print_results, reading, shortest
from .options import (
    CONFIG_HELP,
    BatchSize,
    CfgOptions,
    Classes,
    Data,
    Device,
    IgnoreLabel,
    ImgScale,
    Launcher,
    Lr,
    Processes,
    Test,
    Val,
    Workers,
    parse_classes,
)
from .together import call_together

if TYPE_CHECKING:
    from rich.console import Console

    from ..compose.fit import Settings
    from ..engine.train import Results


def train_command(
    config: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help=f"{CONFIG_HELP} Or give --recipe.")
    ] = None,
    data: Data = None,
    val: Val = None,
    test: Test = None,
    classes: Classes = None,
    ignore_label: IgnoreLabel = None,
    class_balance: Annotated[
        bool,
        typer.Option(
            "--class-balance",
            help="Repeat images of rare classes (boxes), or weigh classes by their frequency (segmentation).",
        ),
    ] = False,
    work_dir: Annotated[
        Path | None, typer.Option(help="Folder for the results; default: work_dirs/<config>.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training images; schedules follow.")
    ] = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    img_scale: ImgScale = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="[PATH]", help="Go on from the last checkpoint in the work dir, or from PATH (.pth)."
        ),
    ] = None,
    amp: Annotated[
        str | None,
        typer.Option(
            metavar="[bf16|fp16]",
            help="Mixed precision; alone: bfloat16 where the device has it, as CPUs do, else float16 (CUDA).",
        ),
    ] = None,
    device: Device = None,
    processes: Processes = 1,
    launcher: Launcher = "none",
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    pretrained: Annotated[
        bool,
        typer.Option(
            "--pretrained/--no-pretrained", help="Start from the weights that CONFIG names, or random ones."
        ),
    ] = True,
    early_stop: Annotated[
        int | None, typer.Option(metavar="N", help="End after N evaluations without a better one.")
    ] = None,
    ema: Annotated[
        bool, typer.Option("--ema", help="Evaluate and save a moving average of the weights.")
    ] = False,
    workers: Workers = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same way in each run on one machine; slower on GPUs.")
    ] = False,
    save_every: Annotated[
        float | None, typer.Option(metavar="MINUTES", help="Also save, to go on from, every so many minutes.")
    ] = None,
    log: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Log to these too: tensorboard,wandb,mlflow.")
    ] = None,
    cfg_options: CfgOptions = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="In place of CONFIG a shipped one for fine-tuning: auto counts the training images and "
            f"chooses, or name it: {AMOUNTS}."
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Of the recipe: detection or segmentation.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Of the recipe, if it has several, as densenet121.")
    ] = None,
) -> None:
    """Train a detector or a segmenter on your data, with any backbone.

    Example: mmbackbones train detection/faster-rcnn_resnet50_fpn_1x_coco --data my_coco --epochs 24
    --batch-size 4 --work-dir work

    Fine-tune by amount of data: mmbackbones train --recipe auto --task detection --data my_coco

    Several GPUs, or a CPU's cores: mmbackbones train CONFIG --data DIR --processes 2
    """
    from ..compose.extras import parse_logs
    from ..compose.fit import Settings

    if processes > 1 and launcher != "none":
        raise InputError(f"--processes {processes} starts them itself; leave --launcher {launcher} out.")
    logs = parse_logs(log)
    config, cache, notes = choose_config(config, recipe, task, backbone, data, work_dir, ignore_label or [])
    settings = Settings(
        data,
        epochs,
        batch_size,
        lr,
        img_scale,
        seed,
        cfg_options or [],
        ignore_label or [],
        pretrained,
        val=val,
        test=test,
        classes=parse_classes(classes),
        class_balance=class_balance,
        early_stop=early_stop,
        ema=ema,
        workers=workers,
        deterministic=deterministic,
        save_every=save_every,
        log=logs,
    )
    call_together(
        processes,
        run,
        config,
        settings,
        work_dir,
        resume=resume,
        amp=amp,
        device=device,
        launcher=launcher,
        cache_dir=cache,
        notes=notes,
    )


def choose_config(
    config: str | None,
    recipe: str | None,
    task: str | None,
    backbone: str | None,
    data: Path | None,
    work_dir: Path | None,
    ignore_labels: Sequence[int] = (),
) -> tuple[str, Path | None, tuple[str, ...]]:
    """The config that the user named, or the recipe's; the folder where facts of the data are; what to say.

    Raises:
        InputError: both or neither are given, or something that only a recipe has without one.
    """
    if recipe is None:
        for option, value in (("--task", task), ("--backbone", backbone)):
            if value is not None:
                raise InputError(f"{option} {value} belongs to --recipe; a config says it itself.")
        if config is None:
            raise InputError("Give a CONFIG, or --recipe auto --task detection --data DIR.")
        return config, None, ()
    if config is not None:
        raise InputError(f"CONFIG '{config}' and --recipe {recipe} both say what to train. Give one of them.")
    from ..finetune.recipes import choose

    cache = (work_dir or Path("work_dirs")).expanduser().absolute() / "data_cache"
    with reading(new_console()) as progress:
        name, note = choose(
            recipe, task, data, backbone, ignore_labels=ignore_labels, cache_dir=cache, progress=progress
        )
    return name, cache, (note,)


def run(
    config: str,
    settings: Settings,
    work_dir: Path | None,
    *,
    resume: str | None = None,
    amp: str | None = None,
    device: str | None = None,
    launcher: str = "none",
    cache_dir: Path | None = None,
    notes: Sequence[str] = (),
) -> Results:
    """Fit the config, train it, and say where the results are.

    Args:
        config: name or file.
        settings: the user's.
        work_dir: for the results; by default the config's, or ``work_dirs/<config>``.
        resume: ``auto`` or a checkpoint.
        amp: mixed precision: ``auto``, ``bf16`` or ``fp16``.
        device: ``cpu``, ``cuda`` ...
        launcher: ``none`` or ``pytorch``.
        cache_dir: for what reading the data writes; by default a folder in ``work_dir``.
        notes: what to say first.

    Raises:
        InputError: something given cannot be used.
        typer.Exit: with status 130 after Ctrl-C, 143 after SIGTERM, and 1 where nothing was learned.
    """
    from ..compose.configs import load_config
    from ..compose.fit import fit
    from ..engine.devices import choose_device, start_processes, stop_processes
    from ..engine.precision import choose_precision, use_precision
    from ..engine.train import find_resume, train
    from ..engine.work_dir import check_unused, check_work_dir

    cfg = load_config(config)
    kind_of_device = choose_device(device)
    precision = choose_precision(amp, kind_of_device) if amp else None
    processes = start_processes(cfg, launcher, kind_of_device)
    console = new_console()
    stem = Path(cfg.filename).stem
    folder = work_dir or Path(cfg.get("work_dir") or Path("work_dirs") / stem)
    folder = check_work_dir(folder.expanduser().absolute())
    checkpoint = find_resume(folder, resume)
    check_unused(folder, checkpoint)
    together = f", {processes} processes" if processes > 1 else ""
    console.print(f"[bold]{stem}[/] on {kind_of_device}{together}", soft_wrap=True)
    with reading(console) as progress:
        cache = cache_dir or folder / "data_cache"
        decided = fit(cfg, settings, cache_dir=cache, world_size=processes, progress=progress)
    if precision:
        decided.append(use_precision(cfg, precision))
    for note in (*notes, *decided):
        console.print(f"  {note}", highlight=False)
    try:
        results = train(cfg, folder, resume=checkpoint, console=console)
    except KeyboardInterrupt as stop:
        _say_how_to_resume(console, folder, f" --processes {processes}" if processes > 1 else "")
        raise typer.Exit(128 + getattr(stop, "signum", signal.SIGINT)) from None
    finally:
        stop_processes()
    if results.files:
        print_results(console, results)
    if results.failure:
        console.print(f"The training failed: {results.failure}", style="red", soft_wrap=True)
        raise typer.Exit(1)
    return results


def _say_how_to_resume(console: Console, folder: Path, more: str) -> None:
    if (folder / "last_checkpoint").is_file():
        command = f"mmbackbones train {shortest(folder / 'config.py')} --work-dir {shortest(folder)} --resume"
        console.print(f"Stopped. Go on with: {command}{more}", soft_wrap=True, highlight=False)
    else:
        console.print("Stopped before there was anything to save.")
