"""What each validation image adds to a run's metric, so that it can be had for any resample of the images."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

SCORES = "scores.npz"
_RECALLS = np.linspace(0, 1, 101)
_EPS = np.spacing(1)


class Scores(Protocol):
    """A run's result, image by image."""

    @property
    def count(self) -> int:
        """Number of images."""

    def metric(self, counts: np.ndarray) -> np.ndarray:
        """(draws,) the metric, each image taken as often as ``counts`` (draws, images) says."""


@dataclass(frozen=True)
class AreaScores:
    """Of a segmenter: areas in pixels, (images, classes). The mIoU of any resample is exact.

    Attributes:
        intersect: Predicted and labelled as the class.
        union: Predicted or labelled as it.
    """

    intersect: np.ndarray
    union: np.ndarray
    kind: ClassVar[str] = "areas"

    @property
    def count(self) -> int:
        return len(self.union)

    def metric(self, counts: np.ndarray) -> np.ndarray:
        """mIoU in percent, over the classes that are there."""
        union = counts @ self.union
        shares = np.divide(counts @ self.intersect, union, out=np.full(union.shape, np.nan), where=union > 0)
        return np.asarray(100 * np.nanmean(shares, axis=1))


@dataclass(frozen=True)
class DetectionScores:
    """Of a detector: its detections, matched by COCO's rules, which look at one image at a time.

    So the mAP of a resample is COCO's of a set in which the images stand so often; an image that is drawn
    twice has its detections twice, at the same place in the order of scores.

    Attributes:
        truths: (images, classes) objects that count.
        image: (detections,) index of its image; the detections of a class are in the order of the images.
        label: (detections,) its class.
        score: (detections,).
        hits: (detections,) bit t is set if it found an object at the t-th of COCO's ten IoUs.
        ignored: (detections,) bit t is set if it counts neither way there.
    """

    truths: np.ndarray
    image: np.ndarray
    label: np.ndarray
    score: np.ndarray
    hits: np.ndarray
    ignored: np.ndarray
    kind: ClassVar[str] = "detections"

    @property
    def count(self) -> int:
        return len(self.truths)

    def metric(self, counts: np.ndarray) -> np.ndarray:
        """mAP in 0..1 over ten IoUs and the classes that have objects; at most 100 detections an image."""
        classes = range(self.truths.shape[1])
        return np.asarray(np.nanmean([self._ap(label, counts) for label in classes], axis=0))

    def _ap(self, label: int, counts: np.ndarray) -> np.ndarray:
        """(draws,) AP of one class; NaN where it has no objects."""
        objects = counts @ self.truths[:, label]
        mine = np.flatnonzero(self.label == label)
        mine = mine[np.argsort(-self.score[mine], kind="stable")]
        often = counts[:, self.image[mine]]
        found = np.zeros(len(counts))
        shown: dict[bytes, np.ndarray] = {}  # detections so far; what is ignored hardly depends on the IoU
        for bit in range(10):
            hit, ignored = (self.hits[mine] >> bit) & 1, (self.ignored[mine] >> bit) & 1
            if (key := ignored.tobytes()) not in shown:
                shown[key] = np.cumsum(often * (1 - ignored), axis=1)
            at = np.flatnonzero(hit & ~ignored & 1)  # only there precision and recall can rise
            right = np.cumsum(often[:, at], axis=1)
            precision = right / (shown[key][:, at] + _EPS)
            envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            recall = right / np.maximum(objects, 1)[:, None]
            for draw in range(len(counts)):
                place = np.searchsorted(recall[draw], _RECALLS, side="left")
                found[draw] += envelope[draw, place[place < len(at)]].sum() / len(_RECALLS)
        return np.where(objects > 0, found / 10, np.nan)


_KINDS: tuple[type[AreaScores] | type[DetectionScores], ...] = (AreaScores, DetectionScores)


def save_scores(path: Path, scores: AreaScores | DetectionScores) -> None:
    """Write them, compressed, in one step."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        np.savez_compressed(
            file, kind=scores.kind, **{one.name: getattr(scores, one.name) for one in fields(scores)}
        )
    os.replace(part, path)


def load_scores(path: Path) -> Scores:
    """Read what :func:`save_scores` wrote."""
    with np.load(path, allow_pickle=False) as content:
        held = {name: content[name] for name in content.files}
    kind = str(held.pop("kind"))
    return next(one for one in _KINDS if one.kind == kind)(**held)
