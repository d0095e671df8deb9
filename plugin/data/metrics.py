"""What mmseg's metric leaves out: the IoU of each class."""

from __future__ import annotations

from typing import Any

from mmseg.evaluation import IoUMetric as _IoUMetric

from ..registry import METRICS

#: Stands before a class's name in the figures of an evaluation.
CLASS_PREFIX = "IoU."


@METRICS.register_module()
class IoUMetric(_IoUMetric):
    """mmseg's ``IoUMetric``, which also returns the IoU of each class, in percent: ``IoU.<class>``.

    A class that is neither in the labels nor predicted has NaN.
    """

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Figures over all images; ``results`` has (intersection, union, prediction, label) areas of each."""
        figures: dict[str, float] = super().compute_metrics(results)
        if self.format_only:
            return figures
        shares = 100 * sum(areas[0] for areas in results) / sum(areas[1] for areas in results)
        named = zip(self.dataset_meta["classes"], shares.tolist(), strict=True)
        return {**figures, **{f"{CLASS_PREFIX}{name}": round(share, 2) for name, share in named}}
