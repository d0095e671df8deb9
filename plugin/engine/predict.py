"""Predictions for files, as pictures and data."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image

from ..errors import InputError
from .coco_results import RESULTS_NAME, CocoResults
from .draw import with_legend
from .images import check_image, is_video, open_image
from .predictions import Prediction, Predictor, picture_of
from .video import Video, VideoWriter

JSON_NAME = "predictions.json"


@dataclass
class Output:
    """Where predictions go.

    Attributes:
        folder: for pictures and ``predictions.json``.
        results: also takes the boxes, and is written as ``coco_results.json``.
        masks: also write PNGs: of instance masks the number of the object at each pixel, from 1 on in the
            order of ``boxes``, and of a video each frame's.
    """

    folder: Path
    results: CocoResults | None = None
    masks: bool = False
    names: set[str] = field(default_factory=set)

    def unused(self, stem: str) -> str:
        """``stem``, or with a number where another folder has the same file name."""
        name, count = stem, 1
        while name in self.names:
            count += 1
            name = f"{stem}_{count}"
        self.names.add(name)
        return name


def check_outputs(predictor: Predictor, *, save_json: bool, save_masks: bool) -> None:
    """Check that the model gives what is to be written.

    Raises:
        InputError: it has no boxes, or no masks.
    """
    if save_json and predictor.task == "segmentation":
        raise InputError(
            "--save-json writes boxes and instance masks as COCO's results, but the model is a segmenter: "
            "its label maps are PNGs beside the pictures. Leave it out."
        )
    if save_masks and predictor.task == "detection":
        grey = np.full((64, 64, predictor.channels), 128, np.uint8)
        if predictor(grey).masks is None:  # no attribute tells it of every kind of model
            raise InputError(
                f"--save-masks: a {type(predictor.model).__name__} finds boxes only. Take a model of "
                f"instance masks, such as mask-rcnn, or leave it out."
            )


def images_of_split(cfg: Config) -> list[Path]:
    """The files of the config's test data, in its order.

    Raises:
        InputError: it has none, or it is not there.
    """
    from mmengine.registry import DATASETS, init_default_scope

    init_default_scope(cfg.default_scope)
    if not cfg.get("test_dataloader"):
        raise InputError("The config has no test_dataloader; give your own data with --data, or IMAGES.")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells what it reads
            dataset = DATASETS.build(cfg.test_dataloader.dataset)
    except FileNotFoundError as error:
        raise InputError(f"The config's own data is not there: {error}. Give yours with --data.") from error
    return [Path(dataset.get_data_info(index)["img_path"]) for index in range(len(dataset))]


def predict(predictor: Predictor, files: Iterable[Path], out: Output) -> Iterator[dict[str, Any]]:
    """Write a picture for each image, yield its entry, and at the end, however it comes, all as JSON.

    An entry has ``image``, ``picture``, and for boxes ``boxes`` (x1, y1, x2, y2 in pixels), ``labels``,
    ``classes`` and ``scores``; for segmentation ``labels``, the PNG with the class index of each pixel,
    and ``pixels``, the number of pixels of each class found. ``note`` says what of the image was lost in
    loading. One of a video has ``image``, ``picture`` and ``frames``, a list of such entries. A file that
    cannot be predicted has ``image`` and ``error``.
    """
    entries: list[dict[str, Any]] = []
    try:
        for path in files:
            entry: dict[str, Any] = {"image": str(path)}
            try:
                entry |= _video(predictor, path, out) if is_video(path) else _image(predictor, path, out)
            except InputError as error:
                entry["error"] = str(error)
            entries.append(entry)
            yield entry
    finally:
        content = {"task": predictor.task, "classes": predictor.classes, "images": entries}
        (out.folder / JSON_NAME).write_text(json.dumps(content, indent=2) + "\n")
        if out.results is not None:
            out.results.write(out.folder / RESULTS_NAME)


def _image(predictor: Predictor, path: Path, out: Output) -> dict[str, Any]:
    """Write the picture, and the label map if there is one; returns what the entry says of them."""
    note = check_image(path, stacks=predictor.stacks)
    found = predictor(path)
    name = out.unused(path.stem)
    picture = out.folder / f"{name}_prediction.png"
    _drawn(open_image(path), found, predictor).save(picture)
    if out.results is not None:
        out.results.add(path, found)
    written = _png(found, out, name) if found.label_map is not None or out.masks else {}
    return {"picture": picture.name, **written, **_said(found)} | ({"note": note} if note else {})


def _video(predictor: Predictor, path: Path, out: Output) -> dict[str, Any]:
    """The same for each frame, in one video."""
    video = Video(path)
    name = out.unused(path.stem)
    picture = out.folder / f"{name}_prediction.mp4"
    frames = []
    with VideoWriter(picture, video.rate) as drawn:
        for number, frame in enumerate(video):
            found = predictor(frame)
            drawn.write(picture_of(open_image(frame), found, predictor.classes, predictor.palette))
            if out.results is not None:
                out.results.add(path.with_name(f"{path.name}#{number}"), found)
            written = _png(found, out, f"{name}_{number:06d}") if out.masks else {}
            frames.append({**written, **_said(found)})
    return {"picture": picture.name, "frames": frames}


def _drawn(image: Image.Image, found: Prediction, predictor: Predictor) -> Image.Image:
    """A picture that is large enough to read; under a label map stands which colour is what."""
    classes, palette = predictor.classes, predictor.palette
    drawn = picture_of(image, found, classes, palette, max(1.0, 480 / max(image.size)))
    if found.label_map is None:
        return drawn
    seen = np.unique(found.label_map)
    return with_legend(drawn, [(classes[index], palette[index]) for index in seen if index < len(classes)])


def _png(found: Prediction, out: Output, name: str) -> dict[str, str]:
    """Write the label map, or the masks as numbers of objects; the surest is on top."""
    if found.label_map is not None:
        pixels, kind = found.label_map, "labels"
    else:
        masks = found.masks if found.masks is not None else np.zeros((0, 1, 1), bool)
        pixels, kind = np.zeros(masks.shape[1:], np.uint8 if len(masks) < 256 else np.uint16), "masks"
        for number in range(len(masks), 0, -1):
            pixels[masks[number - 1]] = number
    file = out.folder / f"{name}_{kind}.png"
    Image.fromarray(pixels).save(file)
    return {kind: file.name}


def _said(found: Prediction) -> dict[str, Any]:
    """What an entry says of a prediction."""
    if found.label_map is not None:
        counts = np.bincount(found.label_map.ravel(), minlength=len(found.classes))
        named = zip(found.classes, counts.tolist(), strict=False)
        return {"pixels": {name: count for name, count in named if count}}
    scores = found.scores if found.scores is not None else np.zeros(0)
    return {
        "boxes": [[round(float(edge), 2) for edge in box] for box in found.boxes],
        "labels": [int(label) for label in found.labels],
        "classes": found.names,
        "scores": [round(float(score), 4) for score in scores],
    }
