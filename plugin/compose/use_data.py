"""A user's data in the place of a config's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from ..errors import InputError
from . import channels, extras
from .classes import set_ignore_index, set_num_classes
from .configs import kind, pipelines, task_of
from .processes import first_alone
from .settings import Settings

if TYPE_CHECKING:
    from ..data.dataset import DataSet, SplitName


def of_the_config(cfg: Config, settings: Settings) -> Settings:
    """With the classes that a training with --classes has left in its config, where none are named."""
    own = ((cfg.get("test_dataloader") or {}).get("dataset") or {}).get("metainfo") or {}
    if settings.data is None or settings.classes or not own.get("subset"):
        return settings
    return dataclasses.replace(settings, classes=tuple(own["classes"]))


def use_data(
    cfg: Config,
    settings: Settings,
    cache_dir: Path,
    progress: Callable[[str, int, int], None] | None,
    *,
    trains: bool,
) -> tuple[list[str], int]:
    """Put the user's data into ``cfg``, if there is any; returns notes and the number of training images,
    0 where the data set itself has to say it. Only where it ``trains`` may images have other channels.

    Of several processes one reads the folder, and writes the cache, first.
    """
    from ..data.layouts import recognise

    if settings.data is None:
        if settings.ignore_labels:
            raise InputError(f"--ignore-label {settings.ignore_labels[0]} is about --data: give it too.")
        for option in ("val", "test", "classes", "class_balance"):
            if getattr(settings, option):
                raise InputError(f"--{option.replace('_', '-')} is about --data: give it too.")
        return [], 0
    with first_alone() as first:
        data = recognise(
            settings.data,
            task_of(cfg),
            cache_dir=cache_dir,
            ignore_labels=settings.ignore_labels,
            classes=settings.classes,
            val=settings.val,
            test=settings.test or settings.split == "test",
            progress=progress if first else None,
        )
    notes = [*data.notes, *set_data(cfg, data, settings.split)]
    notes += channels.set_channels(cfg, data, trains=trains)
    if not settings.class_balance:
        return notes, data.train.count
    if data.task == "segmentation":
        return [*notes, extras.weigh_classes(cfg, data.classes, data.frequencies)], data.train.count
    cfg.train_dataloader.dataset = _balanced(
        cfg.train_dataloader.dataset, extras.threshold_of(data.frequencies)
    )
    shares = ", ".join(
        f"{name} {share:.0%}" for name, share in zip(data.classes, data.frequencies, strict=True)
    )
    return [*notes, f"images of rare classes are repeated; a class is in so many of the images: {shares}"], 0


def _balanced(dataset: dict[str, Any], threshold: float) -> dict[str, Any]:
    """``dataset`` with mmengine's ``ClassBalancedDataset`` (arXiv 1908.03195) around the innermost one."""
    if kind(dataset) == "ClassBalancedDataset":
        return {**dataset, "oversample_thr": threshold}
    if "dataset" in dataset:
        return {**dataset, "dataset": _balanced(dataset["dataset"], threshold)}
    return {"type": "ClassBalancedDataset", "oversample_thr": threshold, "dataset": dataset}


def set_data(cfg: Config, data: DataSet, split: SplitName | None = None) -> list[str]:
    """Put ``data`` in the place of the config's data sets, classes and metrics; returns notes.

    Wrappers that mix images (mosaics) or balance classes stay; those that repeat or join the
    config's own data sets go.

    ``split`` is what is tested: by default the test images where there are any, else those of the validation.

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
    tested: SplitName = split or ("test" if data.test else "val")
    reads: dict[str, SplitName] = {"train": "train", "val": "val", "test": tested}
    for part, read in reads.items():
        loader = cfg.get(f"{part}_dataloader")
        if loader:
            loader.dataset = _replaced(loader.dataset, data, read)
        if part != "train" and cfg.get(f"{part}_evaluator"):
            cfg[f"{part}_evaluator"] = evaluator_cfg(data, read, masks=masks)
    for pipeline in pipelines(cfg, "train", "val", "test"):
        for transform in pipeline:
            if kind(transform) == "LoadAnnotations":
                transform.pop("reduce_zero_label", None)  # labels are plain indices
    return [*set_num_classes(cfg.model, len(data.classes)), *set_ignore_index(cfg.model)]


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
