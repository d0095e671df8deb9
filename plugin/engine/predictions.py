"""What a model says about images: boxes or labels, as arrays and as pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from ..compose.channels import channels_read
from ..compose.configs import kind, pipelines, task_of
from ..errors import InputError
from . import draw
from .explained import errors_explained
from .images import as_loaded, check_image, open_image

SCORE_THR = 0.5
#: A file, or its pixels: see :func:`.images.as_loaded`.
Given = str | Path | np.ndarray


@dataclass(frozen=True, repr=False)
class Prediction:
    """What was found in one image.

    Attributes:
        boxes: detection: (n, 4) x1 y1 x2 y2 in pixels of the image, best first.
        labels: detection: n class indices.
        scores: detection: n of 0..1; None where it is the truth.
        masks: (n, height, width) of bool from a model of instance masks, else None.
        label_map: segmentation: (height, width) class index of each pixel, else None.
        classes: names by class index.
        palette: colours by class index.
        source: the image, as it was given.
    """

    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    scores: np.ndarray | None = None
    masks: np.ndarray | None = None
    label_map: np.ndarray | None = None
    classes: Sequence[str] = ()
    palette: Sequence[draw.Colour] = ()
    source: Given | None = None

    def __repr__(self) -> str:
        """What was found in words: the arrays of one photo fill screens."""
        if self.label_map is not None:
            high, wide = self.label_map.shape
            return f"Prediction(label map {high}x{wide}: {', '.join(self.names)})"
        kinds = ", ".join(f"{count} {name}" for name, count in Counter(self.names).most_common())
        of = "box" if len(self.boxes) == 1 else "boxes"
        masks = "" if self.masks is None else " with masks"
        return f"Prediction({len(self.boxes)} {of}{masks}{': ' if kinds else ''}{kinds})"

    @property
    def names(self) -> list[str]:
        """Class name of each box; of a label map the names of the classes in it."""
        found = self.labels if self.label_map is None else np.unique(self.label_map)
        return [self.classes[int(label)] for label in found]

    def plot(self, zoom: float = 1.0) -> np.ndarray:
        """The image with what was found drawn into it, (height, width, 3), RGB.

        Raises:
            InputError: the file is not there any more.
        """
        if self.source is None:
            raise ValueError("A prediction without an image cannot be drawn.")
        image = open_image(self.source)
        return np.asarray(picture_of(image, self, self.classes, self.palette, zoom))


class Predictor:
    """Runs a model of mmdet or mmseg on images, as its test pipeline prepares them.

    Args:
        model: on its device; it is put into evaluation mode.
        cfg: its config; the test pipeline is taken from it.
        score_thr: boxes with a lower score are left out.
        meta: of the data set that it was trained on: classes, palette.

    Attributes:
        task: ``detection`` or ``segmentation``.
        classes: names by class index.
        palette: colours by class index.
        channels: that an image has.
        stacks: files are read with all of their channels, as they are; else as photos.
    """

    def __init__(
        self, model: Any, cfg: Config, score_thr: float = SCORE_THR, meta: Mapping[str, Any] | None = None
    ) -> None:
        from mmengine.dataset import Compose
        from mmengine.registry import init_default_scope

        init_default_scope(cfg.default_scope)
        self.model = model.eval()
        self.task = task_of(cfg)
        self.score_thr = score_thr
        self.classes, self.palette = classes_and_colours(meta or {})
        steps = [step for step in steps_for_test(cfg) if "Annotations" not in kind(step)]
        self.pipeline = Compose(steps)
        loads = [number for number, step in enumerate(steps) if "Load" in kind(step)]  # InferencerLoader too
        first = max(loads, default=-1)
        self._float = any(step.get("to_float32") for step in steps[: first + 1])
        self._after_loading = Compose(steps[first + 1 :])
        mean = getattr(getattr(model, "data_preprocessor", None), "mean", None)
        self.channels = 3 if mean is None else len(mean)
        self.stacks = channels_read(cfg) is not None

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, images: Given, *, batch_size: int = 8
    ) -> Prediction: ...
    @overload
    def __call__(self, images: Sequence[Given], *, batch_size: int = 8) -> list[Prediction]: ...
    def __call__(
        self, images: Given | Sequence[Given], *, batch_size: int = 8
    ) -> Prediction | list[Prediction]:
        """Predict one image, or several.

        Args:
            images: a file, or the pixels (height, width, 3) of 8 bits in the order RGB, of a model that was
                trained on files of several channels those (height, width, channels); or a list of such.
            batch_size: at most so many go through the model together; those of one size after resizing do,
                since padding to a common one would change what is found.

        Returns:
            One prediction for an image, a list of them for a list.

        Raises:
            InputError: a file is missing, empty or no image, or pixels are of another form.
        """
        if isinstance(images, (str, Path, np.ndarray)):
            return self._all([images])[0]
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: at least 1 image is needed in a batch.")
        given = list(images)
        starts = range(0, len(given), batch_size)
        return [one for start in starts for one in self._all(given[start : start + batch_size])]

    def _all(self, images: Sequence[Given]) -> list[Prediction]:
        packed = [self._pack(image) for image in images]
        found: list[Prediction] = []
        for _, group in groupby(zip(packed, images, strict=True), key=lambda pair: pair[0]["inputs"].shape):
            members = list(group)
            found += self._ask([pack for pack, _ in members], [image for _, image in members])
        return found

    def _pack(self, image: Given) -> dict[str, Any]:
        if isinstance(image, np.ndarray):
            pixels = as_loaded(image, self.channels, stacks=self.stacks)
            pixels = pixels.astype(np.float32) if self._float else pixels
            sides = pixels.shape[:2]
            return self._after_loading(
                {"img": pixels, "img_shape": sides, "ori_shape": sides, "img_path": None, "img_id": 0}
            )
        check_image(Path(image), stacks=self.stacks)
        try:
            return self.pipeline({"img_path": str(image), "img_id": 0})
        except (AssertionError, OSError) as error:  # mmcv asserts that OpenCV decoded the file
            raise InputError(f"Image {image} cannot be loaded: {error}. Save it as PNG or JPEG.") from error

    @torch.no_grad()
    def _ask(self, packed: list[dict[str, Any]], images: Sequence[Given]) -> Iterator[Prediction]:
        batch = {key: [one[key] for one in packed] for key in ("inputs", "data_samples")}
        about: dict[str, Any] = {"classes": self.classes, "palette": self.palette}
        with errors_explained():
            samples = self.model.test_step(batch)
        for sample, image in zip(samples, images, strict=True):
            yield Prediction(**self._arrays(sample), **about, source=image)

    def _arrays(self, sample: Any) -> dict[str, Any]:
        if self.task == "segmentation":
            bits = np.uint8 if getattr(self.model, "num_classes", 0) <= 256 else np.uint16
            return {"label_map": sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(bits)}
        found = sample.pred_instances.cpu()
        found = found[found.scores >= self.score_thr]
        found = found[found.scores.argsort(descending=True)]
        arrays = {
            "boxes": found.bboxes.numpy(),
            "labels": found.labels.numpy(),
            "scores": found.scores.numpy(),
        }
        return {**arrays, "masks": np.asarray(found.masks).astype(bool) if "masks" in found else None}


def classes_and_colours(meta: Mapping[str, Any]) -> tuple[list[str], list[draw.Colour]]:
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


def steps_for_test(cfg: Config) -> list[dict[str, Any]]:
    """The config's test pipeline.

    Raises:
        InputError: it has none.
    """
    found = next(pipelines(cfg, "test"), None) or next(pipelines(cfg, "val"), None)
    if found is None:
        raise InputError("The config has no test pipeline (test_dataloader.dataset.pipeline).")
    return found
