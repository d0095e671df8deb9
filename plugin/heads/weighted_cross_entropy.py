"""Cross entropy whose classes have weights, for labels with ignored pixels."""

from __future__ import annotations

from typing import Any

import torch
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor

from ..errors import InputError


class WeightedCrossEntropyLoss(CrossEntropyLoss):
    """mmseg's cross entropy over classes with ``class_weight``, where pixels may be ignored.

    mmseg's own asks for the weight of the ignored label, 255, to average by, and ends in an IndexError.
    Here the mean is torch's: the sum over the pixels, divided by the sum of their weights, with ignored
    pixels in neither; 0 where all are.

    Args:
        class_weight: of each class.
        **kwargs: as mmseg's ``CrossEntropyLoss``: ``loss_weight``, ``loss_name``, ``reduction``.

    Raises:
        InputError: ``use_sigmoid`` or ``use_mask``, which have no weight of a pixel.
    """

    def __init__(self, class_weight: list[float], **kwargs: Any) -> None:
        if kwargs.get("use_sigmoid") or kwargs.get("use_mask"):
            raise InputError(
                "WeightedCrossEntropyLoss is over classes, without use_sigmoid or use_mask: "
                "take type='mmseg.CrossEntropyLoss' for these."
            )
        kwargs["avg_non_ignore"] = True
        super().__init__(class_weight=class_weight, **kwargs)

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int = -100,
        **kwargs: Any,
    ) -> Tensor:
        """The loss of logits ``(N, C, ...)`` and labels ``(N, ...)``; each pixel's with the reduction 'none'.

        ``weight`` is one of each pixel beside that of its class: a sampler's choice.
        """
        if avg_factor is None and (reduction_override or self.reduction) == "mean":
            # float32: half precision cannot count the pixels of a batch
            weights = torch.as_tensor(self.class_weight, dtype=torch.float32, device=label.device)
            avg_factor = weights[label[label != ignore_index]].sum()
        return super().forward(
            cls_score, label, weight, avg_factor, reduction_override, ignore_index=ignore_index, **kwargs
        )
