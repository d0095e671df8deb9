"""Trains the demo's detector in fp32 and in bf16, from the same seeds: the table of docs/results.md.

    python docs/precision_results.py --data DIR --work-dir work_dirs/precision

DIR is a data set in COCO's layout. Nothing but the precision differs between two runs of a seed. Every run is
a process of its own with one thread and leaves a JSON file; a run whose file is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from one_by_one import unless_there

CONFIG = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
SCALE = "160x120"
EPOCHS = 8
SEEDS = (0, 1)
PRECISIONS = ("fp32", "bf16")
MEASURES = {"coco/bbox_mAP_50": "mAP50", "coco/bbox_mAP": "mAP"}


def fitted(precision: str, seed: int, data: Path, work_dir: Path) -> Any:
    """The config as ``mmbackbones train --amp`` would have it, each loss logged."""
    from mmbackbones.compose.configs import load_config
    from mmbackbones.compose.fit import Settings, fit
    from mmbackbones.engine.precision import use_precision

    cfg = load_config(CONFIG)
    fit(
        cfg,
        Settings(data, EPOCHS, None, None, SCALE, seed, ["train_cfg.val_interval=1000"]),
        cache_dir=work_dir / "data_cache",
    )
    if precision != "fp32":
        use_precision(cfg, precision)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=1000, save_best=None)
    cfg.work_dir = str(work_dir)
    return cfg


def losses(work_dir: Path) -> list[float]:
    """The mean loss of each epoch."""
    of_epoch: dict[int, list[float]] = {}
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for row in map(json.loads, path.read_text().splitlines()):
            if "loss" in row:
                of_epoch.setdefault(row["epoch"], []).append(row["loss"])
    return [statistics.mean(found) for _, found in sorted(of_epoch.items())]


def run(precision: str, seed: int, data: Path, work_dir: Path, result: Path) -> None:
    """Train and evaluate once; writes ``result``."""
    import torch
    from rich.console import Console

    from mmbackbones.engine.train import train

    torch.set_num_threads(1)
    work_dir.mkdir(parents=True, exist_ok=True)
    done = train(fitted(precision, seed, data, work_dir), work_dir, console=Console(quiet=True))
    result.write_text(json.dumps(dict(losses=losses(work_dir), metrics=done.metrics)))


def table(work_dir: Path) -> str:
    """Losses by epoch, and what the evaluation says at the end, of each seed and precision."""
    names = [(precision, seed) for seed in SEEDS for precision in PRECISIONS]
    rows = [json.loads((work_dir / f"{precision}-{seed}.json").read_text()) for precision, seed in names]
    lines = ["| epoch | " + " | ".join(f"{precision}, seed {seed}" for precision, seed in names) + " |"]
    lines.append("| --- |" + " ---: |" * len(names))
    for epoch, values in enumerate(zip(*(row["losses"] for row in rows), strict=True), start=1):
        lines.append(f"| {epoch} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    for key, title in MEASURES.items():
        lines.append(f"| {title} | " + " | ".join(f"{row['metrics'][key]:.3f}" for row in rows) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    given = parser.parse_args()
    given.work_dir.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS:
        for precision in PRECISIONS:
            result = given.work_dir / f"{precision}-{seed}.json"
            unless_there(result, run, precision, seed, given.data, given.work_dir / result.stem)
    print(table(given.work_dir))  # noqa: T201


if __name__ == "__main__":
    main()
