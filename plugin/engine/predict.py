"""Predictions for image files, as pictures and data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image

from ..compose.building import building
from ..data.scan import IMAGE_SUFFIXES, list_files
from ..errors import InputError
from ..weights.checkpoints import load_model
from ..weights.files import read_for_mmengine
from ..weights.named import without_weights
from .draw import Colour, with_legend
from .predictions import Prediction, Predictor, check_image, classes_and_colours, open_image, picture_of

JSON_NAME = "predictions.json"


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Image files from files and folders (with the folders inside them), one of them readable at least.

    Raises:
        InputError: a path is missing, a folder has no images, or none of the images can be read.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [path / name for name in list_files(path, IMAGE_SUFFIXES)]
            if not inside:
                raise InputError(f"Folder {path} has no images ({', '.join(IMAGE_SUFFIXES)}).")
            found += inside
        elif not path.is_file():
            raise InputError(f"There is no image file {path}.")
        else:
            found.append(path)
    problems: list[str] = []
    for path in found:
        try:
            check_image(path)
            return found
        except InputError as error:
            problems.append(str(error))
    raise InputError(listed(problems))


def listed(problems: Sequence[str], limit: int = 3) -> str:
    """The first problems, and how many more there are."""
    more = f" ... and {len(problems) - limit} more." if len(problems) > limit else ""
    return " ".join(problems[:limit]) + more


def load_predictor(
    cfg: Config, checkpoint: Path, device: str, score_thr: float
) -> tuple[Predictor, dict[str, Any]]:
    """The model of ``cfg`` with the weights of ``checkpoint``, and the data set's meta information.

    Classes come from the checkpoint, else from the config's own data set.

    Raises:
        InputError: the model cannot be built, the checkpoint is unreadable or of another model, or nobody
            names the classes.
    """
    from mmengine.registry import DATASETS, MODELS, init_default_scope

    read_for_mmengine()
    init_default_scope(cfg.default_scope)
    with building():
        model = MODELS.build(without_weights(cfg.model))  # the checkpoint has all weights
    meta = load_model(model, checkpoint).get("dataset_meta") or {}
    if not (meta.get("classes") or meta.get("CLASSES")):
        dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
        meta = dataset.get("metainfo") or getattr(DATASETS.get(dataset.get("type")), "METAINFO", {})
    if not (meta.get("classes") or meta.get("CLASSES")):
        raise InputError(
            f"Neither {checkpoint} nor the config names the classes; add metainfo=dict(classes=...)."
        )
    return Predictor(model.to(device), cfg, score_thr), dict(meta)


def predict(
    predictor: Predictor, meta: dict[str, Any], images: Iterable[Path], out: Path
) -> Iterator[dict[str, Any]]:
    """Write a picture for each image, yield its entry, and at the end, however it comes, all as JSON.

    An entry has ``image``, ``picture``, and for boxes ``boxes`` (x1, y1, x2, y2 in pixels), ``labels``,
    ``classes`` and ``scores``; for segmentation ``labels``, the PNG with the class index of each pixel,
    and ``pixels``, the number of pixels of each class found. ``note`` says what of the image was lost in
    loading. An image that cannot be predicted has ``image`` and ``error``.
    """
    classes, palette = classes_and_colours(meta)
    entries: list[dict[str, Any]] = []
    names: set[str] = set()
    try:
        for path in images:
            entry: dict[str, Any] = {"image": str(path)}
            try:
                note = check_image(path)
                found = predictor(path)
            except InputError as error:
                entry["error"] = str(error)
            else:
                entry |= _write(path, found, classes, palette, out, _unused(path.stem, names))
                entry |= {"note": note} if note else {}
            entries.append(entry)
            yield entry
    finally:
        content = {"task": predictor.task, "classes": classes, "images": entries}
        (out / JSON_NAME).write_text(json.dumps(content, indent=2) + "\n")


def _write(
    path: Path, found: Prediction, classes: list[str], palette: list[Colour], out: Path, name: str
) -> dict[str, Any]:
    """Write the picture, and the label map if there is one; returns what the entry says of them."""
    picture = out / f"{name}_prediction.png"
    image = open_image(path)
    drawn = picture_of(image, found, classes, palette, max(1.0, 480 / max(image.size)))
    if found.label_map is None:
        drawn.save(picture)
        return {"picture": picture.name, **_as_lists(found, classes)}
    label_file = out / f"{name}_labels.png"
    Image.fromarray(found.label_map).save(label_file)
    counts = np.bincount(found.label_map.ravel(), minlength=len(classes))[: len(classes)]
    seen = [index for index, count in enumerate(counts) if count]
    with_legend(drawn, [(classes[index], palette[index]) for index in seen]).save(picture)
    pixels = {classes[index]: int(counts[index]) for index in seen}
    return {"picture": picture.name, "labels": label_file.name, "pixels": pixels}


def _as_lists(found: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    scores = found.scores if found.scores is not None else np.zeros(0)
    return {
        "boxes": [[round(float(edge), 2) for edge in box] for box in found.boxes],
        "labels": [int(label) for label in found.labels],
        "classes": [classes[int(label)] for label in found.labels],
        "scores": [round(float(score), 4) for score in scores],
    }


def _unused(stem: str, names: set[str]) -> str:
    """``stem``, or with a number where another folder has the same file name."""
    name, count = stem, 1
    while name in names:
        count += 1
        name = f"{stem}_{count}"
    names.add(name)
    return name
