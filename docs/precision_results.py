"""Trains the same detector in fp32 and in bf16, from the same seeds: the table of docs/results.md.

    python docs/precision_results.py --data DIR --work-dir work_dirs/precision

Every run is the ordinary command with one thread; a run whose figures are there is not run again. The loss of
an epoch is the mean of those that its log has.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

CONFIG = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
EPOCHS = 8
SEEDS = (0, 1)
PRECISIONS: dict[str, list[str]] = {"fp32": [], "bf16": ["--amp", "bf16"]}


def train(data: Path, folder: Path, seed: int, options: list[str]) -> None:
    """One training, unless its figures are there."""
    if (folder / "metrics.json").is_file():
        return
    words = [sys.executable, "-m", "mmbackbones.cli", "train", CONFIG, "--data", str(data), *options]
    words += [
        "--img-scale",
        "160x120",
        "--epochs",
        str(EPOCHS),
        "--seed",
        str(seed),
        "--work-dir",
        str(folder),
    ]
    words += [
        "--work-dir",
        str(folder),
        "--device",
        "cpu",
        "--cfg-options",
        "default_hooks.logger.interval=1",
    ]
    subprocess.run(words, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def losses(folder: Path) -> list[float]:
    """The mean loss of each epoch."""
    of_epoch: dict[int, list[float]] = {}
    for path in sorted(folder.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if "loss" in row:
                of_epoch.setdefault(row["epoch"], []).append(row["loss"])
    return [statistics.mean(found) for _, found in sorted(of_epoch.items())]


def table(work_dir: Path) -> str:
    """Losses by epoch, and mAP at the end, of each precision and seed."""
    names = [(precision, seed) for seed in SEEDS for precision in PRECISIONS]
    found = [losses(work_dir / f"{precision}-{seed}") for precision, seed in names]
    lines = ["| epoch | " + " | ".join(f"{precision}, seed {seed}" for precision, seed in names) + " |"]
    lines.append("| --- |" + " ---: |" * len(names))
    for epoch, row in enumerate(zip(*found, strict=True), start=1):
        lines.append(f"| {epoch} | " + " | ".join(f"{value:.3f}" for value in row) + " |")
    for key in ("coco/bbox_mAP_50", "coco/bbox_mAP"):
        final = [
            json.loads((work_dir / f"{precision}-{seed}/metrics.json").read_text())["final"][key]
            for precision, seed in names
        ]
        lines.append(f"| {key[10:]} | " + " | ".join(f"{value:.3f}" for value in final) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    given = parser.parse_args()
    for seed in SEEDS:
        for precision, options in PRECISIONS.items():
            train(given.data, given.work_dir / f"{precision}-{seed}", seed, options)
    print(table(given.work_dir))  # noqa: T201


if __name__ == "__main__":
    main()
