"""Validation images with what is true and what a model says of them, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from ..compose.configs import kind, task_of
from . import draw
from .images import open_image
from .predictions import SCORE_THR, Prediction, Predictor, classes_and_colours, picture_of, steps_for_test

if TYPE_CHECKING:
    from mmengine.dataset import Compose


def write_validation_grid(
    path: Path, model: torch.nn.Module, cfg: Config, dataset: Any, count: int = 8, side: int = 360
) -> Path:
    """Draw validation images with what is true and what the model predicts, side by side.

    Args:
        path: the PNG to write.
        model: a trained model.
        cfg: its config.
        dataset: mmdet or mmseg data set with ground truth.
        count: number of images, spread evenly over the data set.
        side: longer side of each picture in pixels.
    """
    classes, palette = classes_and_colours(dataset.metainfo)
    boxes = task_of(cfg) == "detection"  # whose truth shows the image as well
    groups = [
        pictures[boxes:] for _, pictures in validation_pictures(model, cfg, dataset, count=count, side=side)
    ]
    titles = ["truth", "prediction"] if boxes else ["image", "truth", "prediction"]
    if len(groups) > 1:  # two images a row
        groups = [sum(groups[start : start + 2], []) for start in range(0, len(groups), 2)]
        titles *= 2
    draw.grid(groups, titles, list(zip(classes, palette, strict=True))).save(path)
    return path


def validation_pictures(
    model: torch.nn.Module,
    cfg: Config,
    dataset: Any,
    *,
    count: int,
    side: int,
    score_thr: float = SCORE_THR,
) -> Iterator[tuple[Path, list[Image.Image]]]:
    """Of validation images, spread evenly over the data set: the file; it, its truth, the prediction.

    Args:
        model: a trained model.
        cfg: its config.
        dataset: mmdet or mmseg data set with ground truth.
        count: number of images.
        side: longer side of each picture in pixels.
        score_thr: boxes with a lower score are left out.
    """
    predict = Predictor(model, cfg, score_thr)
    classes, palette = classes_and_colours(dataset.metainfo)
    load = _truth_loader(cfg)
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int):
        info = dataset.get_data_info(int(index))
        path = Path(info["img_path"])
        image = open_image(path)
        zoom = side / max(image.size)
        guess = predict(path)
        if predict.task == "detection":
            truth = _true_boxes(info, image, guess.masks is not None)
        else:
            truth = _true_labels(info, load)
        drawn = [picture_of(image, found, classes, palette, zoom) for found in (truth, guess)]
        yield path, [draw.zoomed(image, zoom), *drawn]


def _true_boxes(info: dict[str, Any], image: Image.Image, with_masks: bool) -> Prediction:
    things = [thing for thing in info["instances"] if not thing.get("ignore_flag")]
    boxes = np.asarray([thing["bbox"] for thing in things], np.float32).reshape(-1, 4)
    labels = np.asarray([thing["bbox_label"] for thing in things], int)
    masks = None
    if with_masks and things and all(thing.get("mask") for thing in things):
        masks = np.stack([_decode(thing["mask"], image) for thing in things])
    return Prediction(boxes, labels, None, masks)


def _decode(mask: Any, image: Image.Image) -> np.ndarray:
    """A COCO mask, polygons or run lengths, as (height, width) of bool."""
    from pycocotools import mask as coco_mask

    if isinstance(mask, list):
        mask = coco_mask.merge(coco_mask.frPyObjects(mask, image.height, image.width))
    elif isinstance(mask["counts"], list):
        mask = coco_mask.frPyObjects(mask, image.height, image.width)
    return np.asarray(coco_mask.decode(mask)).astype(bool)


def _truth_loader(cfg: Config) -> Compose:
    """The steps of the test pipeline that read labels: what is drawn as true is what is scored."""
    from mmengine.dataset import Compose

    steps = [step for step in steps_for_test(cfg) if "Annotations" in kind(step)]
    return Compose(steps or [{"type": "LoadAnnotations"}])


def _true_labels(info: dict[str, Any], load: Compose) -> Prediction:
    return Prediction(label_map=load({**info, "seg_fields": []})["gt_seg_map"])
