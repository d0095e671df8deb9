"""Measures the freezing recipes on a user's COCO data: the table of docs/results.md.

    python docs/finetune_results.py --data DIR --weights demo/last.pth --work-dir work_dirs/finetune

``--weights`` is any checkpoint of the config below; its backbone is saved as a raw weight file, which all
runs but those from random weights start from. Every run is a process of its own with one thread and
leaves a JSON file; a run whose file is there is not run again. All methods of a data size train for the
same steps with the same learning rate.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import time
from pathlib import Path
from typing import Any

from one_by_one import unless_there

CONFIG = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
SCALE = "192x144"
LR = 1e-3
EPOCHS = {100: 16, 205: 8}  # 208 steps of 8 images each
SEEDS = (0, 1)
GRADUAL = dict(type="mmbackbones.UnfreezeHook", by_epoch=False, schedule={52: 3, 104: 2, 156: -1})

# Title, whether it starts from --weights, arguments of the backbone, hooks.
METHODS: dict[str, tuple[str, bool, dict[str, Any], list[dict[str, Any]]]] = {
    "scratch": ("from random weights", False, {}, []),
    "everything": ("everything trains", True, {}, []),
    "stages": ("`frozen_stages=2`", True, dict(frozen_stages=2), []),
    "fraction": ("`frozen_fraction=1/3`", True, dict(frozen_fraction=1 / 3), []),
    "gradual": ("gradual unfreezing", True, dict(frozen_stages=4), [GRADUAL]),
}


def subset(data: Path, count: int, folder: Path) -> Path:
    """A COCO folder with ``count`` of the training images, always the same, and all validation images."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.loads((data / "train.json").read_text())
    images = random.Random(0).sample(content["images"], count)
    kept = {image["id"] for image in images}
    content["images"] = images
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    (folder / "train.json").write_text(json.dumps(content))
    (folder / "val.json").write_text((data / "val.json").read_text())
    if not (folder / "images").exists():
        (folder / "images").symlink_to((data / "images").resolve(), target_is_directory=True)
    return folder


def save_backbone(checkpoint: Path, target: Path) -> None:
    """The backbone's weights of a detector's checkpoint as a raw weight file."""
    import torch

    from mmbackbones.weights.files import read_checkpoint, state_dict_of

    state = state_dict_of(read_checkpoint(checkpoint))
    torch.save({k[9:]: v for k, v in state.items() if k.startswith("backbone.")}, target)


def peak() -> float:
    """The most memory that this process ever had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def fitted(method: str, count: int, seed: int, data: Path, weights: Path, work_dir: Path) -> Any:
    """The config of a method for ``count`` images, evaluated once at its end."""
    from mmbackbones.compose.configs import load_config
    from mmbackbones.compose.fit import Settings, fit

    _, pretrained, backbone, hooks = METHODS[method]
    cfg = load_config(CONFIG)
    settings = Settings(data, EPOCHS[count], None, LR, SCALE, seed, ["train_cfg.val_interval=1000"])
    fit(cfg, settings, cache_dir=work_dir / "data_cache")
    cfg.default_hooks.checkpoint.update(interval=1000, save_best=None)
    cfg.model.backbone.update(backbone)
    if pretrained:
        cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=str(weights))
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), *hooks]
    work_dir.mkdir(parents=True, exist_ok=True)
    cfg.work_dir = str(work_dir)
    return cfg


def trainable(model: Any) -> int:
    """Number of parameters that train."""
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def run(method: str, count: int, seed: int, data: Path, weights: Path, work_dir: Path, result: Path) -> None:
    """Train and evaluate once; writes ``result``."""
    import torch
    from mmengine.hooks import Hook
    from mmengine.registry import HOOKS
    from rich.console import Console

    from mmbackbones.engine.cost import resident
    from mmbackbones.engine.train import train

    torch.set_num_threads(1)

    @HOOKS.register_module()
    class Measure(Hook):
        """Time, memory and trainable parameters of the training alone: the evaluation comes behind it."""

        def before_train(self, runner: Any) -> None:
            self.before, self.trainable, self.seconds = resident(), {trainable(runner.model)}, []

        def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
            self.started = time.process_time()

        def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
            self.seconds.append(time.process_time() - self.started)

        def after_train_epoch(self, runner: Any) -> None:
            self.trainable.add(trainable(runner.model))
            found[:] = [sorted(self.trainable), peak() - self.before, self.seconds]

    found: list[Any] = []
    cfg = fitted(method, count, seed, data, weights, work_dir)
    cfg.custom_hooks.append(dict(type="Measure", priority="VERY_LOW"))
    done = train(cfg, work_dir, console=Console(quiet=True))
    row = dict(
        map50=done.metrics["coco/bbox_mAP_50"],
        trainable=found[0],
        memory=found[1],
        seconds=statistics.median(found[2]),
        steps=len(found[2]),
        processor=time.process_time(),
    )
    result.write_text(json.dumps(row))


def table(work_dir: Path) -> str:
    """The measured runs as a table in Markdown."""
    lines = [
        "| images | method | mAP50 | seeds | trainable | ms / step | peak memory |",
        "| ---: | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for count in EPOCHS:
        for method, (title, *_) in METHODS.items():
            files = [work_dir / f"{method}-{count}-{seed}.json" for seed in SEEDS]
            rows = [json.loads(file.read_text()) for file in files if file.is_file()]
            if not rows:
                continue
            mean = statistics.mean(row["map50"] for row in rows)
            each = ", ".join(f"{row['map50']:.3f}" for row in rows)
            least, most = rows[0]["trainable"][0] / 1e6, rows[0]["trainable"][-1] / 1e6
            params = f"{most:.2f} M" if least == most else f"{least:.2f} to {most:.2f} M"
            ms = 1e3 * statistics.mean(row["seconds"] for row in rows)
            memory = statistics.mean(row["memory"] for row in rows)
            lines.append(
                f"| {count} | {title} | {mean:.3f} | {each} | {params} | {ms:.0f} | {memory:.0f} MiB |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    given = parser.parse_args()
    given.work_dir.mkdir(parents=True, exist_ok=True)
    weights = given.work_dir / "backbone.pth"
    save_backbone(given.weights, weights)
    for seed in SEEDS:
        for count in EPOCHS:
            data = subset(given.data, count, given.work_dir / f"data{count}")
            for method in METHODS:
                result = given.work_dir / f"{method}-{count}-{seed}.json"
                folder = given.work_dir / result.stem
                unless_there(result, run, method, count, seed, data, weights, folder)
    print(table(given.work_dir))  # noqa: T201


if __name__ == "__main__":
    main()
