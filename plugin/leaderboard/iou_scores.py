"""The IoU metric, which also keeps what each image adds to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..data.metrics import IoUMetric
from ..registry import METRICS
from .scores import AreaScores, save_scores


@METRICS.register_module()
class IoUScores(IoUMetric):
    """``IoUMetric`` that writes :class:`.scores.AreaScores` at each evaluation.

    Args:
        scores_file: the file.
        **kwargs: of ``IoUMetric``.
    """

    def __init__(self, scores_file: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scores_file = Path(scores_file)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        figures = super().compute_metrics(results)
        areas = [np.stack([one[part].numpy() for one in results]).astype(np.int64) for part in (0, 1)]
        save_scores(self.scores_file, AreaScores(*areas))
        return figures
