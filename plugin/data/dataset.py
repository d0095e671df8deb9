"""What was recognised of a user's data, and the OpenMMLab configs that read it."""

from __future__ import annotations

import colorsys
import json
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError

Task = Literal["detection", "segmentation"]
TASKS: tuple[Task, ...] = ("detection", "segmentation")
Layout = Literal["coco", "voc", "yolo", "folders"]
SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
Colour = tuple[int, int, int]
IGNORE_LABEL = 255


@dataclass(frozen=True)
class Split:
    """The training or the validation part.

    Attributes:
        img_dir: folder that image names are relative to.
        ann_file: detection: COCO json; segmentation: text file with one image name per line, without suffix.
        label_dir: segmentation: folder that label names are relative to.
        count: number of images.
        img_suffix: segmentation: what to add to a name to get its image, as ``.jpg``.
        label_suffix: segmentation: what to add to a name to get its label, as ``.png``.
    """

    img_dir: Path
    ann_file: Path | None
    label_dir: Path | None
    count: int
    img_suffix: str = ""
    label_suffix: str = ""


@dataclass(frozen=True)
class DataSet:
    """A recognised and checked data set.

    Attributes:
        root: the user's folder.
        task: what it was recognised for.
        layout: how its files are arranged.
        classes: names in the order of the model's class indices.
        palette: one RGB colour (0..255) per class.
        train: training part.
        val: validation part.
        notes: for the user, one sentence each.
        has_masks: detection: every object has an instance mask.
        label_map: segmentation: label values that change on the way to the model, as ``{11: 255}``.
        test: test part, where it was asked for.
        subset: not all of the data's classes are in ``classes``, or in another order: they were chosen.
        channels: of images that are read as they are, in :mod:`.stacks`; None of photos.
        frequencies: of each class: detection: the share of the training images that have it; segmentation:
            its share of the pixels of the training images that have it.
    """

    root: Path
    task: Task
    layout: Layout
    classes: tuple[str, ...]
    palette: tuple[Colour, ...]
    train: Split
    val: Split
    notes: tuple[str, ...]
    has_masks: bool
    label_map: Mapping[int, int] = field(default_factory=dict)
    test: Split | None = None
    subset: bool = False
    frequencies: tuple[float, ...] = ()
    channels: int | None = None


def dataset_cfg(data: DataSet, split: SplitName, pipeline: list[dict]) -> dict[str, Any]:
    """Config of ``mmdet.CocoDataset`` or ``mmseg.BaseSegDataset`` for one part of ``data``.

    Where label values change on the way to the model, it is ``mmbackbones.SegDataset``.

    Training leaves images without objects out (mmdet itself skips boxes smaller than a pixel);
    validation keeps every image.

    Args:
        data: what :func:`~mmbackbones.data.layouts.recognise` returned.
        split: ``train``, ``val`` or ``test``.
        pipeline: transforms, used as they are.

    Raises:
        InputError: ``split`` is unknown, or the data has no such part.
    """
    part = _part(data, split)
    cfg: dict[str, Any] = dict(
        data_root="",
        ann_file=str(part.ann_file),
        metainfo=dict(classes=data.classes, palette=list(data.palette)),
        test_mode=split != "train",
        pipeline=pipeline,
    )
    if data.subset:
        cfg["metainfo"]["subset"] = True  # so that other data is read for these classes too
    if data.task == "detection":
        cfg.update(type="mmdet.CocoDataset", data_prefix=dict(img=str(part.img_dir)))
        if split == "train":
            cfg.update(filter_cfg=dict(filter_empty_gt=True, min_size=1))
    else:
        cfg.update(
            type="mmseg.BaseSegDataset",
            data_prefix=dict(img_path=str(part.img_dir), seg_map_path=str(part.label_dir)),
            img_suffix=part.img_suffix,
            seg_map_suffix=part.label_suffix,
            ignore_index=IGNORE_LABEL,
            reduce_zero_label=False,
        )
        if data.label_map:
            cfg.update(type="mmbackbones.SegDataset", label_map=dict(data.label_map))
    return cfg


def evaluator_cfg(data: DataSet, split: SplitName = "val", *, masks: bool = False) -> dict[str, Any]:
    """Config of ``mmdet.CocoMetric`` or ``IoUMetric`` (mIoU) for one part of ``data``; both also by class.

    Args:
        data: what :func:`~mmbackbones.data.layouts.recognise` returned.
        split: ``train``, ``val`` or ``test``.
        masks: detection: score instance masks too.

    Raises:
        InputError: ``split`` is unknown, or ``masks`` is asked of data that has none.
    """
    part = _part(data, split)
    if data.task == "segmentation":
        return dict(type="mmbackbones.IoUMetric", iou_metrics=["mIoU"], ignore_index=IGNORE_LABEL)
    if masks and not data.has_masks:
        raise InputError(
            f"'{data.root}' has no instance masks for all objects, so masks cannot be scored: add a "
            f"'segmentation' to every annotation, or train a model that predicts boxes only."
        )
    metric = ["bbox", "segm"] if masks else ["bbox"]
    return dict(
        type="mmdet.CocoMetric",
        ann_file=str(part.ann_file),
        metric=metric,
        classwise=True,
        format_only=False,
    )


def image_files(data: DataSet, split: SplitName) -> list[Path]:
    """The images of one part of ``data``, in its order."""
    part = _part(data, split)
    content = Path(str(part.ann_file)).read_text(encoding="utf-8")
    if data.task == "detection":
        return [part.img_dir / one["file_name"] for one in json.loads(content)["images"]]
    return [part.img_dir / (name + part.img_suffix) for name in content.split("\n")[:-1]]


def _part(data: DataSet, split: str) -> Split:
    if split not in SPLITS:
        raise InputError(f"split='{split}' is unknown; use {', '.join(map(repr, SPLITS))}.")
    part: Split | None = getattr(data, split)
    if part is None:
        raise InputError(
            f"'{data.root}' has no {split} split that was read; ask for it when it is recognised."
        )
    return part


def make_palette(classes: Sequence[str]) -> tuple[Colour, ...]:
    """Well separated RGB colours, the same at every call; ``background`` is black."""
    colours = []
    for k, name in enumerate(classes):
        hue, saturation, value = k * 0.618034 % 1, (0.85, 0.55, 1.0)[k // 7 % 3], (0.95, 1.0, 0.6)[k // 3 % 3]
        rgb = (0.0, 0.0, 0.0) if name == "background" else colorsys.hsv_to_rgb(hue, saturation, value)
        colours.append((round(rgb[0] * 255), round(rgb[1] * 255), round(rgb[2] * 255)))
    return tuple(colours)


def split_off(count: int, val_fraction: float, seed: int, what: str) -> tuple[list[int], list[int]]:
    """Indices of the training and the validation part of ``count`` images; neither is ever empty.

    Raises:
        InputError: fewer than two images; ``what`` names them in the message.
    """
    if count < 2:
        raise InputError(
            f"{what} has {count} image{'s' * (count != 1)} and no validation split; two images are the "
            f"least that can be split. Add images."
        )
    order = list(range(count))
    random.Random(seed).shuffle(order)
    held_out = min(count - 1, max(1, round(count * val_fraction)))
    return sorted(order[held_out:]), sorted(order[:held_out])


def some(items: Iterable[object], limit: int = 3) -> str:
    """The first ``limit`` items in quotes and how many more there are, for a message."""
    found = [str(item) for item in items]
    rest = f" and {len(found) - limit} more" if len(found) > limit else ""
    return ", ".join(f"'{item}'" for item in found[:limit]) + rest


def write_cache(path: Path, content: str | dict | Sequence[Any]) -> Path:
    """Write text, or anything else as JSON, in one step: other processes see all of it or none.

    Raises:
        InputError: no right or no space to write.
    """
    text = content if isinstance(content, str) else json.dumps(content)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise InputError(
            f"Cannot write '{path}': {error.strerror or error}. Choose a work folder that you may write "
            f"to, on a disk with space left."
        ) from error
    return path
