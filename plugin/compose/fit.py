"""Fits a config to a user's data and options: the one place where all the settings meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from ..errors import InputError
from . import phases, schedule, warmup
from .classes import set_ignore_index, set_num_classes
from .configs import apply_options, kind, parse_options, pipelines, task_of, walk
from .meaning import check_one_meaning
from .places import check_places
from .pretrained import drop_pretrained
from .processes import first_alone
from .scale import parse_scale, set_scale

if TYPE_CHECKING:
    from ..data.dataset import DataSet


@dataclass(frozen=True)
class Settings:
    """What a user may set beside the config; None leaves the config's own value.

    Attributes:
        data: folder of the user's data.
        epochs: passes over the training images.
        batch_size: images per process and step.
        lr: learning rate, used as it is.
        img_scale: ``WIDTHxHEIGHT`` in pixels.
        seed: of everything random.
        options: ``key=value`` as in mmengine's ``--cfg-options``.
        ignore_labels: segmentation: label values of pixels to ignore in ``data``, beside 255.
        pretrained: False starts from random weights, whatever the config names.
    """

    data: Path | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    img_scale: str | None = None
    seed: int | None = None
    options: list[str] = field(default_factory=list)
    ignore_labels: Sequence[int] = ()
    pretrained: bool = True


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
    base, rate = schedule.base_batch(cfg), schedule.rate(cfg)  # before those among the options
    apply_options(cfg, options)
    check_places(cfg, options)
    if any(key.startswith("auto_scale_lr") for key in options):
        base = schedule.BaseBatch(cfg.auto_scale_lr.get("base_batch_size", base.size), "auto_scale_lr")
    notes, images = _use_data(cfg, settings, cache_dir, progress)
    if not settings.pretrained:
        notes.append(drop_pretrained(cfg))
    steps = 0
    if settings.img_scale is not None:
        set_scale(cfg, parse_scale(settings.img_scale))
    if settings.batch_size is not None:
        schedule.check_batch_size(settings.batch_size)
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
    apply_options(cfg, options)
    if steps:
        warmup.drop_ended(cfg, steps)  # after the options, whose numbers count all schedulers
    check_one_meaning(cfg)
    tidy(cfg)
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
    apply_options(cfg, options)
    check_places(cfg, options, training=False)
    notes, _ = _use_data(cfg, settings, cache_dir, progress)
    if settings.img_scale is not None:
        set_scale(cfg, parse_scale(settings.img_scale))
    if settings.batch_size is not None and cfg.get("test_dataloader"):
        schedule.check_batch_size(settings.batch_size)
        cfg.test_dataloader.batch_size = settings.batch_size
    apply_options(cfg, options)
    tidy(cfg)
    return notes


def _use_data(
    cfg: Config, settings: Settings, cache_dir: Path, progress: Callable[[str, int, int], None] | None
) -> tuple[list[str], int]:
    """Put the user's data into ``cfg``, if there is any; returns notes and the number of training images.

    Of several processes one reads the folder, and writes the cache, first.
    """
    from ..data.layouts import recognise

    if settings.data is None:
        if settings.ignore_labels:
            raise InputError(f"--ignore-label {settings.ignore_labels[0]} is about --data: give it too.")
        return [], 0
    with first_alone() as first:
        data = recognise(
            settings.data,
            task_of(cfg),
            cache_dir=cache_dir,
            ignore_labels=settings.ignore_labels,
            progress=progress if first else None,
        )
    return [*data.notes, *set_data(cfg, data)], data.train.count


def set_data(cfg: Config, data: DataSet) -> list[str]:
    """Put ``data`` in the place of the config's data sets, classes and metrics; returns notes.

    Wrappers that mix images (mosaics) or balance classes stay; those that repeat or join the
    config's own data sets go.

    Raises:
        InputError: the model needs masks or labels that the data does not have.
    """
    from ..data.dataset import evaluator_cfg

    masks = _uses_masks(cfg)
    if masks and not data.has_masks and data.task == "detection":
        raise InputError(
            f"The config trains instance masks, but {data.root} has objects without a mask; "
            f"take a config for boxes, such as detection/faster-rcnn_resnet50_fpn_1x_coco."
        )
    for part, split in (("train", "train"), ("val", "val"), ("test", "val")):
        loader = cfg.get(f"{part}_dataloader")
        if loader:
            loader.dataset = _replaced(loader.dataset, data, split)
        if part != "train" and cfg.get(f"{part}_evaluator"):
            cfg[f"{part}_evaluator"] = evaluator_cfg(data, "val", masks=masks)
    for pipeline in pipelines(cfg, "train", "val", "test"):
        for transform in pipeline:
            if kind(transform) == "LoadAnnotations":
                transform.pop("reduce_zero_label", None)  # labels are plain indices
    return [*set_num_classes(cfg.model, len(data.classes)), *set_ignore_index(cfg.model)]


def tidy(cfg: Config) -> None:
    """Settle what a command relies on: loader workers, checkpoints to keep, a log of scalars on disk."""
    for part in ("train", "val", "test"):
        loader = cfg.get(f"{part}_dataloader")
        if loader and loader.get("num_workers", 0) == 0:
            loader.num_workers = 0
            loader.persistent_workers = False
            loader.pop("prefetch_factor", None)
    checkpoint = cfg.setdefault("default_hooks", {}).setdefault("checkpoint", {"type": "CheckpointHook"})
    checkpoint.setdefault("max_keep_ckpts", 2)  # the one before stays until the new one is written
    if cfg.get("val_dataloader"):
        checkpoint.setdefault("save_best", _main_figure(cfg))
    backends = (cfg.get("visualizer") or {}).get("vis_backends")
    if backends is not None and "LocalVisBackend" not in [kind(backend) for backend in backends]:
        backends.append({"type": "LocalVisBackend"})


def _main_figure(cfg: Config) -> str:
    """Name of the figure that the best checkpoint has; "auto" is the first, which may be a class's AP."""
    for _, node in walk(cfg.get("val_evaluator") or {}):
        if kind(node) == "IoUMetric":
            return "mIoU"
        if kind(node) == "CocoMetric" and "bbox" in node.get("metric", "bbox"):
            return "coco/bbox_mAP"
    return "auto"


def _uses_masks(cfg: Config) -> bool:
    return any(
        kind(transform) in ("LoadAnnotations", "LoadPanopticAnnotations") and transform.get("with_mask")
        for pipeline in pipelines(cfg, "train")
        for transform in pipeline
    )


def _replaced(dataset: dict[str, Any], data: DataSet, split: Any) -> dict[str, Any]:
    from ..data.dataset import dataset_cfg

    if kind(dataset) == "ConcatDataset":
        return _replaced(dataset["datasets"][0], data, split)
    if kind(dataset) == "RepeatDataset":
        return _replaced(dataset["dataset"], data, split)
    if "dataset" in dataset:
        dataset["dataset"] = _replaced(dataset["dataset"], data, split)
        return dataset
    if "pipeline" not in dataset:
        raise InputError(f"The config's data set {kind(dataset)} has no pipeline to use for other data.")
    return dataset_cfg(data, split, dataset["pipeline"])


def _count_images(cfg: Config) -> int:
    """Number of training images of the config's own data set, which has to be read for that."""
    from mmengine.registry import DATASETS, init_default_scope

    init_default_scope(cfg.default_scope)
    try:
        return len(DATASETS.build(cfg.train_dataloader.dataset))
    except FileNotFoundError as error:
        raise InputError(f"The config's own data is not there: {error}. Give yours with --data.") from error
