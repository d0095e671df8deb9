"""``python -m mmbackbones.bench.start``: from the command to the first training step.

``mmbackbones train`` and mmdet's ``tools/train.py`` train the same Faster R-CNN with ResNet-50, from random
weights, on a few drawn images, each in a new process; the clock stops when the first losses are logged.
"""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from ..engine.timing import print_table
from .machine import machine, table_of, write_figures

CONFIG = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco"
WAYS = ("tools/train.py of mmdet", "mmbackbones train")
_PATIENCE = 600  # seconds


def written_config(folder: Path, images: int) -> Path:
    """A config file for both: small images, no workers, each step logged."""
    from ..compose.configs import load_config
    from ..compose.fit import Settings, fit
    from ..data.shapes import write_shapes

    data = write_shapes(folder / "data", train=images, val=1, size=(160, 160))
    cfg = load_config(CONFIG)
    fit(
        cfg,
        Settings(data, 1, 2, None, "160x160", 0, pretrained=False),
        cache_dir=folder / "cache",
    )
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.default_hooks.logger.interval = 1
    path = folder / "config.py"
    cfg.dump(str(path))
    return path


def command(way: str, config: Path, work_dir: Path) -> list[str]:
    """What a user would type."""
    if way == WAYS[1]:
        words = ["-m", "mmbackbones.cli", "train", str(config), "--device", "cpu"]
    else:
        found = find_spec("mmdet")
        if found is None or found.origin is None:
            raise typer.BadParameter("mmdet is not installed: pip install 'mmbackbones[mm]'.")
        words = [str(Path(found.origin).parent / ".mim/tools/train.py"), str(config)]
    return [sys.executable, *words, "--work-dir", str(work_dir)]


def seconds_to_first_step(words: list[str], work_dir: Path) -> float:
    """From the start of the process to the first step's losses in its log; the process is ended then.

    Raises:
        RuntimeError: it ended before, or took ten minutes.
    """
    log = work_dir.with_suffix(".txt")
    start = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
    try:
        while time.perf_counter() - start < _PATIENCE:
            if any('"loss"' in path.read_text() for path in work_dir.glob("*/vis_data/*.json")):
                return time.perf_counter() - start
            if process.poll() is not None:
                break
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    raise RuntimeError(f"{' '.join(words)} made no step: {log.read_text()[-1000:]}")


def main(
    turns: Annotated[int, typer.Option(help="Processes of each.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="One process of each.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
) -> None:
    """Print the time from a command to its first training step. No pass or fail.

    Example: python -m mmbackbones.bench.start --turns 3
    """
    turns = 1 if quick else turns
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with TemporaryDirectory() as name:
        config = written_config(Path(name), images=8)
        for turn in range(turns):
            for way in WAYS if turn % 2 else WAYS[::-1]:
                work_dir = Path(name) / f"{WAYS.index(way)}-{turn}"
                seconds[way].append(seconds_to_first_step(command(way, config, work_dir), work_dir))
    ratios = [ours / theirs for theirs, ours in zip(*seconds.values(), strict=True)]
    rows: list[dict[str, Any]] = [{"command": way, "seconds": median(seconds[way])} for way in WAYS]
    rows[1]["of the other's"] = median(ratios)
    write_figures(out, rows, turns=turns)
    print_table(f"To the first step: {machine()}", *table_of(rows))


if __name__ == "__main__":
    typer.run(main)
