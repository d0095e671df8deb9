"""The same validation images as each run sees them: JPEG files in the folder of its run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..engine.predictions import classes_and_colours
from ..engine.runner import Runner
from ..engine.validation_grid import validation_pictures

PICTURES, LIST = "pictures", "pictures.json"
_COUNT, _SIDE, _QUALITY = 4, 360, 80
_SCORE_THR = 0.3  # as mmdet draws; nets after a short training are seldom surer


@dataclass(frozen=True)
class Pictures:
    """What the run in a folder saw.

    Attributes:
        images: Names of the image files, in the order of the data set.
        legend: Name and colour (``#rrggbb``) of each class.
        truth: A JPEG file for each image.
        predicted: Likewise.
    """

    images: list[str]
    legend: list[tuple[str, str]]
    truth: list[Path]
    predicted: list[Path]


def write_pictures(runner: Runner, run: Path) -> None:
    """Draw truth and prediction of a few validation images, spread over the data set, into ``run``.

    Args:
        runner: with the trained model and the test data.
        run: folder of the run.
    """
    folder = run / PICTURES
    folder.mkdir(exist_ok=True)
    dataset = runner.test_dataloader.dataset
    drawn = validation_pictures(
        runner.network, runner.cfg, dataset, count=_COUNT, side=_SIDE, score_thr=_SCORE_THR
    )
    images = []
    for number, (path, (_, truth, predicted)) in enumerate(drawn):
        images.append(path.name)
        for name, picture in (("truth", truth), ("predicted", predicted)):
            picture.save(folder / f"{number}-{name}.jpg", quality=_QUALITY)
    classes, colours = classes_and_colours(dataset.metainfo)
    legend = [(name, "#" + bytes(colour).hex()) for name, colour in zip(classes, colours, strict=True)]
    (folder / LIST).write_text(json.dumps({"images": images, "legend": legend}) + "\n", encoding="utf-8")


def read_pictures(run: Path) -> Pictures | None:
    """What :func:`write_pictures` left in the folder of a run; None if it left nothing."""
    folder = run / PICTURES
    if not (folder / LIST).is_file():
        return None
    known = json.loads((folder / LIST).read_text(encoding="utf-8"))
    truth, predicted = (
        [folder / f"{number}-{name}.jpg" for number in range(len(known["images"]))]
        for name in ("truth", "predicted")
    )
    return Pictures(known["images"], [(name, colour) for name, colour in known["legend"]], truth, predicted)
