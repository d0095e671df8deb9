"""Fits a config to a user's data and options: the one place where all the settings meet."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import InputError
from . import extras, phases, schedule, warmup
from .configs import apply_options, kind, parse_options, walk
from .meaning import check_one_meaning
from .places import check_places
from .pretrained import drop_pretrained
from .scale import parse_scale, set_scale
from .settings import Settings
from .use_data import of_the_config, set_data, use_data

__all__ = ["Settings", "fit", "fit_for_test", "main_figure", "set_data", "tidy"]


def fit(
    cfg: Config,
    settings: Settings,
    *,
    cache_dir: Path,
    world_size: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[str]:
    """Apply ``settings`` to ``cfg``, in place.

    Options are applied first, so that what follows sees them, and last, so that they win.

    Args:
        cfg: an mmdet or mmseg config with training parts.
        settings: the user's.
        cache_dir: folder for files that recognising the data may have to write.
        world_size: number of processes.
        progress: called with ("images" or "labels", files read, files in all) while data is read.

    Returns:
        What was decided for the user, one sentence each.

    Raises:
        InputError: a setting or the data cannot be used.
    """
    if not cfg.get("train_dataloader") or not cfg.get("train_cfg") or not cfg.get("optim_wrapper"):
        raise InputError("The config has no training parts (train_dataloader, train_cfg, optim_wrapper).")
    options = parse_options(settings.options)
    scale = _checked(settings)
    base, rate = schedule.base_batch(cfg), schedule.rate(cfg)  # before those among the options
    apply_options(cfg, options)
    check_places(cfg, options)
    if any(key.startswith("auto_scale_lr") for key in options):
        base = schedule.BaseBatch(cfg.auto_scale_lr.get("base_batch_size", base.size), "auto_scale_lr")
    notes, images = use_data(cfg, settings, cache_dir, progress, trains=True)
    if not settings.pretrained:
        notes.append(drop_pretrained(cfg))
    steps = 0
    if scale is not None:
        set_scale(cfg, scale)
    if settings.batch_size is not None:
        cfg.train_dataloader.batch_size = settings.batch_size
    fixed = "optim_wrapper.optimizer.lr" in options
    notes.append(schedule.set_lr(cfg, settings.lr, base, world_size, fixed=fixed))
    if rate:
        schedule.scale_floors(cfg, schedule.rate(cfg) / rate)
    if settings.epochs is not None or images:
        images = images or _count_images(cfg)
        steps = schedule.steps_per_epoch(cfg, images, world_size)
        if settings.epochs is not None:
            schedule.set_epochs(cfg, settings.epochs, steps)
        notes += [*warmup.limit_warmup(cfg, steps), *phases.keep_phases(cfg, steps)]
        schedule.set_log_interval(cfg, steps)
    if settings.seed is not None:
        cfg.randomness = {"seed": settings.seed}
    notes += _set_extras(cfg, settings)
    apply_options(cfg, options)
    if steps:
        warmup.drop_ended(cfg, steps)  # after the options, whose numbers count all schedulers
    check_one_meaning(cfg)
    tidy(cfg)
    return notes


def _checked(settings: Settings) -> tuple[int, int] | None:
    """The image scale, after a look at all numbers: what cannot be used is refused before data is read."""
    schedule.check_numbers(settings)
    return None if settings.img_scale is None else parse_scale(settings.img_scale)


def _set_extras(cfg: Config, settings: Settings) -> list[str]:
    """Put what concerns neither data nor schedule into ``cfg``; returns notes."""
    notes = []
    if settings.early_stop is not None:
        notes.append(extras.stop_early(cfg, settings.early_stop, main_figure(cfg)))
    if settings.ema:
        notes.append(extras.average_weights(cfg))
    if settings.save_every is not None:
        notes.append(extras.save_every(cfg, settings.save_every))
    if settings.workers is not None:
        extras.set_workers(cfg, settings.workers)
    if settings.deterministic:
        notes.append(extras.make_deterministic(cfg))
    extras.add_logs(cfg, settings.log)
    return notes


def fit_for_test(
    cfg: Config,
    settings: Settings,
    *,
    cache_dir: Path,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[str]:
    """Apply what concerns testing (data, batch size, image scale, options) to ``cfg``; returns notes.

    Raises:
        InputError: a setting or the data cannot be used.
    """
    options = parse_options(settings.options)
    scale = _checked(settings)
    apply_options(cfg, options)
    check_places(cfg, options, training=False)
    if settings.data is None and settings.split == "val":
        for key in ("dataloader", "evaluator"):
            if not cfg.get(f"val_{key}"):
                raise InputError(f"--split val: the config has no val_{key}; give your own data with --data.")
            cfg[f"test_{key}"] = copy.deepcopy(cfg[f"val_{key}"])
    if settings.data is None and settings.split == "test":
        _check_own_test_images(cfg)
    notes, _ = use_data(cfg, of_the_config(cfg, settings), cache_dir, progress, trains=False)
    if settings.workers is not None:
        extras.set_workers(cfg, settings.workers)
    if scale is not None:
        set_scale(cfg, scale)
    if settings.batch_size is not None and cfg.get("test_dataloader"):
        cfg.test_dataloader.batch_size = settings.batch_size
    apply_options(cfg, options)
    tidy(cfg)
    return notes


def _check_own_test_images(cfg: Config) -> None:
    """Refuses figures on validation images under the name of the test split.

    Raises:
        InputError: the config tests on its validation images, as most do that know no others.
    """
    places = []
    for part in ("val", "test"):
        dataset = dict((cfg.get(f"{part}_dataloader") or {}).get("dataset") or {})
        places.append({key: value for key, value in dataset.items() if key not in ("pipeline", "metainfo")})
    if places[0] == places[1]:
        raise InputError(
            f"--split test: the config tests on its validation images ({places[1].get('ann_file')}). Give "
            f"test images with --data DIR, or take --split val."
        )


def tidy(cfg: Config) -> None:
    """Settle what a command relies on: loader workers, checkpoints to keep, a log of scalars on disk."""
    for part in ("train", "val", "test"):
        loader = cfg.get(f"{part}_dataloader")
        if loader and loader.get("num_workers", 0) == 0:
            load_here(loader)
    checkpoint = cfg.setdefault("default_hooks", {}).setdefault("checkpoint", {"type": "CheckpointHook"})
    checkpoint.setdefault("max_keep_ckpts", 2)  # the one before stays until the new one is written
    if cfg.get("val_dataloader"):
        checkpoint.setdefault("save_best", main_figure(cfg))
    backends = (cfg.get("visualizer") or {}).get("vis_backends")
    if backends is not None and "LocalVisBackend" not in [kind(backend) for backend in backends]:
        backends.append({"type": "LocalVisBackend"})


def load_here(loader: dict[str, Any]) -> None:
    """Let the main process load the data; torch takes no settings of workers then."""
    loader.update(num_workers=0, persistent_workers=False)
    loader.pop("prefetch_factor", None)


def main_figure(cfg: Config) -> str:
    """Name of the figure that the best checkpoint has; "auto" is the first, which may be a class's AP."""
    for _, node in walk(cfg.get("val_evaluator") or {}):
        if kind(node) == "IoUMetric":
            return "mIoU"
        if kind(node) == "CocoMetric" and "bbox" in node.get("metric", "bbox"):
            return "coco/bbox_mAP"
    return "auto"


def _count_images(cfg: Config) -> int:
    """Number of training images of the config's own data set, which has to be read for that."""
    from mmengine.registry import DATASETS, init_default_scope

    init_default_scope(cfg.default_scope)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells what it reads
            return len(DATASETS.build(cfg.train_dataloader.dataset))
    except FileNotFoundError as error:
        raise InputError(f"The config's own data is not there: {error}. Give yours with --data.") from error
