"""FCOS that tests as torchvision's does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.models.dense_heads import FCOSHead
from torch import Tensor

from .torchvision_anchors import TorchvisionPointGenerator


class TorchvisionFCOSHead(FCOSHead):
    """FCOS (arXiv 1904.01355) with torchvision's points and scores.

    Three differences from mmdet's ``FCOSHead``, whose arguments it takes. A point is the first corner of
    its cell, not the middle. A score is the root of the class's probability times the centerness, not the
    product. And it is this score that the threshold and ``nms_pre`` judge, not the class's probability.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prior_generator = TorchvisionPointGenerator(self.strides)

    def predict_by_feat(
        self,
        cls_scores: Sequence[Tensor],
        bbox_preds: Sequence[Tensor],
        score_factors: Sequence[Tensor],
        **kwargs: Any,
    ) -> Any:
        """As mmdet's ``BaseDenseHead``; ``score_factors`` are the centernesses, as logits."""
        scores = [
            (score.sigmoid() * factor.sigmoid()).sqrt().logit()
            for score, factor in zip(cls_scores, score_factors, strict=True)
        ]
        return super().predict_by_feat(scores, bbox_preds, **kwargs)
