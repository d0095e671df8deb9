"""``mmbackbones test``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    BatchSize,
    CfgOptions,
    Checkpoint,
    Classes,
    Config,
    Data,
    Device,
    IgnoreLabel,
    ImgScale,
    Launcher,
    Split,
    Test,
    Workers,
    parse_classes,
    parse_split,
)

NOTHING_FOUND = (
    "The test failed: nothing was found in any image, so there are no figures. Train for longer, or check "
    "that checkpoint and data belong together."
)


def evaluate_command(
    config: Config,
    checkpoint: Checkpoint,
    data: Data = None,
    split: Split = None,
    test: Test = None,
    classes: Classes = None,
    ignore_label: IgnoreLabel = None,
    work_dir: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: work_dirs/<config>_test.")
    ] = None,
    batch_size: BatchSize = None,
    img_scale: ImgScale = None,
    workers: Workers = None,
    device: Device = None,
    launcher: Launcher = "none",
    cfg_options: CfgOptions = None,
) -> None:
    """Measure a checkpoint on validation or test data: a table, and a JSON file.

    Example: mmbackbones test work/config.py work/best.pth --data my_coco
    """
    from rich.table import Table

    from ..compose.configs import load_config
    from ..compose.fit import Settings, fit_for_test
    from ..engine.devices import choose_device, start_processes, stop_processes
    from ..engine.evaluate import evaluate
    from ..engine.work_dir import check_work_dir
    from .console import new_console, reading, shortest

    cfg = load_config(config)
    kind_of_device = choose_device(device)
    start_processes(cfg, launcher, kind_of_device)
    console = new_console()
    folder = work_dir or Path("work_dirs") / f"{Path(cfg.filename).stem}_test"
    folder = check_work_dir(folder.expanduser().absolute())
    settings = Settings(
        data=data,
        batch_size=batch_size,
        img_scale=img_scale,
        options=cfg_options or [],
        ignore_labels=ignore_label or [],
        test=test,
        split=parse_split(split),
        classes=parse_classes(classes),
        workers=workers,
    )
    with reading(console) as progress:
        notes = fit_for_test(cfg, settings, cache_dir=folder / "data_cache", progress=progress)
    for note in notes:
        console.print(f"  {note}", highlight=False)
    try:
        metrics, path = evaluate(cfg, checkpoint, folder, console=console)
    finally:
        stop_processes()
    table = Table("metric", "value", box=None, padding=(0, 2, 0, 0))
    for name, value in metrics.items():
        if name not in ("data_time", "time"):
            table.add_row(name, f"{value:.4f}")
    found = table.row_count > 0
    if found:
        console.print(table)
    console.print(f"figures  {shortest(path)}", soft_wrap=True, highlight=False)
    if not found:
        console.print(NOTHING_FOUND, style="red", soft_wrap=True)
        raise typer.Exit(1)
