"""What a model says about single images: boxes or labels, as pictures and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image, ImageOps

from ..compose.configs import kind, pipelines, task_of
from ..data.scan import UNREADABLE, reason_of, remark_on
from ..errors import InputError
from . import draw

if TYPE_CHECKING:
    from mmengine.dataset import Compose

SCORE_THR = 0.5


@dataclass(frozen=True)
class Prediction:
    """Boxes of one image (``boxes`` (n, 4) x1 y1 x2 y2 in its pixels, best first) or its ``label_map``."""

    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    scores: np.ndarray | None = None
    masks: np.ndarray | None = None
    label_map: np.ndarray | None = None


class Predictor:
    """Runs a model of mmdet or mmseg on image files.

    Args:
        model: on its device; it is put into evaluation mode.
        cfg: its config; the test pipeline is taken from it.
        score_thr: boxes with a lower score are left out.
    """

    def __init__(self, model: Any, cfg: Config, score_thr: float = SCORE_THR) -> None:
        from mmengine.dataset import Compose
        from mmengine.registry import init_default_scope

        init_default_scope(cfg.default_scope)
        self.model = model.eval()
        self.task = task_of(cfg)
        self.score_thr = score_thr
        self.pipeline = Compose([step for step in _test_pipeline(cfg) if "Annotations" not in kind(step)])

    @torch.no_grad()
    def __call__(self, path: Path) -> Prediction:
        """Predict one image file.

        Raises:
            InputError: the file is missing, empty or no image, or the pipeline cannot load it.
        """
        check_image(path)
        try:
            packed = self.pipeline({"img_path": str(path), "img_id": 0})
        except (AssertionError, OSError) as error:  # mmcv asserts that OpenCV decoded the file
            raise InputError(f"Image {path} cannot be loaded: {error}. Save it as PNG or JPEG.") from error
        batch = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
        sample = self.model.test_step(batch)[0]
        if self.task == "segmentation":
            bits = np.uint8 if getattr(self.model, "num_classes", 0) <= 256 else np.uint16
            return Prediction(label_map=sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(bits))
        found = sample.pred_instances.cpu()
        found = found[found.scores >= self.score_thr]
        found = found[found.scores.argsort(descending=True)]
        masks = np.asarray(found.masks).astype(bool) if "masks" in found else None
        return Prediction(found.bboxes.numpy(), found.labels.numpy(), found.scores.numpy(), masks)


def check_image(path: Path) -> str:
    """Check that a file can be decoded as an image; returns what of it is lost in loading, or ''.

    Raises:
        InputError: missing, empty, damaged, too large, no image, or of a kind that mmcv does not load.
    """
    if not path.is_file():
        raise InputError(f"There is no image file {path}.")
    if path.stat().st_size == 0:
        raise InputError(f"Image {path} is empty (0 bytes).")
    try:
        with Image.open(path) as image:
            image.load()
        with Image.open(path) as image:  # what is loaded has forgotten how it was stored
            return remark_on(image)
    except UNREADABLE as error:
        raise InputError(f"Image {path} cannot be read: {reason_of(error)}.") from error


def classes_and_colours(meta: dict[str, Any]) -> tuple[list[str], list[draw.Colour]]:
    """Class names and colours from a data set's meta information."""
    classes = [str(name) for name in meta.get("classes") or meta.get("CLASSES") or ()]
    return classes, draw.colours(classes, meta.get("palette") or meta.get("PALETTE"))


def picture_of(
    image: Image.Image,
    found: Prediction,
    classes: Sequence[str],
    palette: Sequence[draw.Colour],
    zoom: float = 1.0,
) -> Image.Image:
    """``image`` with a prediction, or the truth in that form, drawn into it."""
    if found.label_map is not None:
        return draw.draw_labels(image, found.label_map, palette, zoom)
    labels = [int(label) for label in found.labels]
    return draw.draw_boxes(image, found.boxes, labels, classes, palette, found.scores, found.masks, zoom)


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


def open_image(path: Path) -> Image.Image:
    """The image as mmcv loads it: RGB, turned as its EXIF entry says."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I;16"):  # where Pillow would cut, at 255
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        return image.convert("RGB")


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

    steps = [step for step in _test_pipeline(cfg) if "Annotations" in kind(step)]
    return Compose(steps or [{"type": "LoadAnnotations"}])


def _true_labels(info: dict[str, Any], load: Compose) -> Prediction:
    return Prediction(label_map=load({**info, "seg_fields": []})["gt_seg_map"])


def _test_pipeline(cfg: Config) -> list[dict[str, Any]]:
    found = next(pipelines(cfg, "test"), None) or next(pipelines(cfg, "val"), None)
    if found is None:
        raise InputError("The config has no test pipeline (test_dataloader.dataset.pipeline).")
    return found
