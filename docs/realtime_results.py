"""Trains the real-time segmentors on a user's data, all on one schedule: the table of docs/results.md.

    python docs/realtime_results.py --data DIR --work-dir work_dirs/realtime

The models are those of the configs, from random weights; data, optimiser and schedule are those of the
small segmentation configs for all. Every run is a process of its own with one thread and leaves a JSON file;
a run whose file is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from one_by_one import unless_there

from mmbackbones.bench.segmentation import short_name

FRAME = "segmentation/swiftnet_resnet18-scratch_1xb8-8k_cityscapes-360x480"
MODELS = (
    "segmentation/swiftnet-s8_shufflenetv2_1xb14-40k_cityscapes-768x768",
    "mmseg::fast_scnn_8xb4-160k_cityscapes-512x1024",
    "mmseg::pidnet-s_2xb6-120k_1024x1024-cityscapes",
)
SCALE = "320x240"
EPOCHS = 8
BATCH = 8
SEEDS = (0, 1, 2)


def fitted(name: str, seed: int, data: Path, work_dir: Path) -> Any:
    """The model of config ``name`` in the frame's training, evaluated once, at its end."""
    from mmbackbones.compose.configs import kind, load_config, walk
    from mmbackbones.compose.fit import Settings, fit

    cfg, model = load_config(FRAME), load_config(name).model
    model.data_preprocessor = cfg.model.data_preprocessor
    for _, node in walk(model):
        node.pop("class_weight", None)  # of Cityscapes' classes
        if kind(node) in ("BN", "SyncBN"):
            node.pop("momentum", None)  # some follow slowly, for long trainings
    if model.type == "EncoderDecoder" and "PIDHead" in str(model.decode_head.type):
        cfg.train_pipeline.insert(-1, dict(type="GenerateEdge", edge_width=4))  # which its loss reads
    model.pop("pretrained", None)
    cfg.model = model
    cfg.train_dataloader.dataset.pipeline = cfg.train_pipeline
    options = ["train_cfg.val_interval=1000"]
    settings = Settings(data, EPOCHS, BATCH, None, SCALE, seed, options, pretrained=False)
    for note in fit(cfg, settings, cache_dir=work_dir / "data_cache"):
        print(name, note, flush=True)  # noqa: T201
    cfg.default_hooks.checkpoint.update(save_best=None)
    cfg.work_dir = str(work_dir)
    return cfg


def run(name: str, seed: int, data: Path, work_dir: Path, result: Path) -> None:
    """Train and evaluate once; writes ``result``."""
    import torch
    from rich.console import Console

    from mmbackbones.engine.train import train

    torch.set_num_threads(1)
    work_dir.mkdir(parents=True, exist_ok=True)
    done = train(fitted(name, seed, data, work_dir), work_dir, console=Console(quiet=True))
    result.write_text(json.dumps(done.metrics))


def table(names: tuple[str, ...], work_dir: Path) -> str:
    """The measured runs as a table in Markdown."""
    lines = ["| net | mIoU | seeds |", "| --- | ---: | --- |"]
    for name in names:
        files = [work_dir / f"{short_name(name)}-{seed}.json" for seed in SEEDS]
        found = [json.loads(file.read_text())["mIoU"] for file in files if file.is_file()]
        if found:
            each = ", ".join(f"{value:.1f}" for value in found)
            lines.append(f"| {short_name(name)} | {statistics.mean(found):.1f} | {each} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--model", action="append", help="configs in place of those above")
    given = parser.parse_args()
    given.work_dir.mkdir(parents=True, exist_ok=True)
    names = tuple(given.model or MODELS)
    for seed in SEEDS:
        for name in names:
            result = given.work_dir / f"{short_name(name)}-{seed}.json"
            unless_there(result, run, name, seed, given.data, given.work_dir / result.stem)
    print(table(names, given.work_dir))  # noqa: T201


if __name__ == "__main__":
    main()
