"""mmdet's COCO metric, which also keeps what each image adds to it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.evaluation.metrics import CocoMetric
from mmengine.fileio import load
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..registry import METRICS
from .scores import DetectionScores, save_scores

_MOST = 100  # detections of an image that count, COCO's number


@METRICS.register_module()
class CocoScores(CocoMetric):
    """``CocoMetric`` that writes :class:`.scores.DetectionScores` at each evaluation.

    Args:
        scores_file: the file.
        scored: ``bbox`` or ``segm``.
        **kwargs: of ``CocoMetric``.
    """

    def __init__(self, scores_file: str, scored: str = "bbox", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scores_file = Path(scores_file)
        self.scored = scored

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        figures: dict[str, float] = super().compute_metrics(results)
        with tempfile.TemporaryDirectory() as folder:
            files = self.results2json([found for _, found in results], f"{folder}/results")
            found = load(files[self.scored])
        if self.scored == "segm":
            for one in found:
                one.pop("bbox")  # else the area would be the box's
        save_scores(self.scores_file, self._matched(found))
        return figures

    def _matched(self, found: list[dict[str, Any]]) -> DetectionScores:
        truth = self._coco_api
        match = COCOeval(truth, truth.loadRes(found) if found else _nothing(truth), self.scored)
        match.params.imgIds, match.params.catIds = list(self.img_ids), list(self.cat_ids)
        match.params.areaRng, match.params.areaRngLbl = [[0, 1e10]], ["all"]
        match.params.maxDets = [_MOST]
        match.evaluate()
        images, classes = len(match.params.imgIds), len(match.params.catIds)
        truths = np.zeros((images, classes), np.int32)
        rows: dict[str, list[Any]] = {"image": [], "label": [], "score": [], "hits": [], "ignored": []}
        for index, one in enumerate(match.evalImgs):
            if one is None:
                continue
            label, image = divmod(index, images)
            truths[image, label] = int(np.sum(np.asarray(one["gtIgnore"]) == 0))
            scores = np.asarray(one["dtScores"], np.float64)
            rows["image"].append(np.full(len(scores), image, np.int32))
            rows["label"].append(np.full(len(scores), label, np.int32))
            rows["score"].append(scores)
            rows["hits"].append(_bits(one["dtMatches"]))
            rows["ignored"].append(_bits(one["dtIgnore"]))
        joined = {name: np.concatenate(parts or [np.zeros(0)]) for name, parts in rows.items()}
        ints = {name: joined[name].astype(np.int32) for name in ("image", "label", "hits", "ignored")}
        return DetectionScores(truths=truths, score=joined["score"], **ints)


def _bits(rows: np.ndarray) -> np.ndarray:
    """(IoUs, detections) of anything as (detections,), bit t for row t."""
    return np.asarray((np.asarray(rows) != 0).astype(np.int32).T @ (1 << np.arange(len(rows))))


def _nothing(truth: Any) -> COCO:
    """No detections at all, which COCO cannot read from a file."""
    empty = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty
