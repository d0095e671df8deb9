"""SSDLite's head: SSD with depthwise separable convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import SSDHead
from mmengine.structures import InstanceData
from torch import Tensor

from ..errors import InputError

Config = dict[str, Any]

BATCH_NORM: Config = dict(type="BN", eps=1e-3, momentum=0.03)
RELU6: Config = dict(type="ReLU6")
ANCHORS: Config = dict(
    type="mmbackbones.RelativeAnchorGenerator", stride=16, scale_range=(0.2, 0.95), ratios=[[2, 3]] * 6
)
BOX_CODER: Config = dict(
    type="mmdet.DeltaXYWHBBoxCoder",
    clip_border=True,
    target_means=[0.0, 0.0, 0.0, 0.0],
    target_stds=[0.1, 0.1, 0.2, 0.2],
)
INIT: Config = dict(type="Normal", layer="Conv2d", std=0.03)


class SSDLiteHead(SSDHead):
    """Head of SSDLite (arXiv 1801.04381, section 6.2), as torchvision builds it for MobileNetV3.

    For each map a 3x3 depthwise convolution with batch norm and ReLU6, then a 1x1 convolution, once for
    the classes (softmax, background last) and once for the boxes. mmdet's ``SSDHead`` with the original's
    settings as defaults; anchors relative to the image; cross entropy with three of the hardest
    negatives for each positive, smooth L1 for the boxes, both divided by the number of positives.

    mmdet 3.3's ``SSDHead`` itself cannot predict, whatever mmcv is installed: its base class asks for
    ``loss_cls``, which ``SSDHead`` does not have. Here it is None, which the base class takes.

    Differences from torchvision: the background is the last class, not the first; before non-maximum
    suppression ``nms_pre`` boxes of a level stay, and of them with ``nms_pre_class`` so many of each class
    (torchvision: 300 of each class, and all of a level).

    Args:
        num_classes: without background.
        in_channels: of each map that arrives.
        train_cfg: ``assigner``, ``neg_pos_ratio`` and ``smoothl1_beta``, as for mmdet's head.
        test_cfg: ``nms_pre``, ``score_thr``, ``nms``, ``max_per_img``, as for mmdet's head, and
            ``nms_pre_class``.
        norm_cfg: of the depthwise convolutions.
        anchor_generator: its levels must be as many as maps arrive.
        bbox_coder: a box coder of mmdet.
        init_cfg: as in mmengine; by default weights of standard deviation 0.03, as in torchvision.

    Raises:
        InputError: anchors for another number of maps.
    """

    loss_cls = None

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        train_cfg: Config | None = None,
        test_cfg: Config | None = None,
        norm_cfg: Config | None = BATCH_NORM,
        act_cfg: Config = RELU6,
        anchor_generator: Config = ANCHORS,
        bbox_coder: Config = BOX_CODER,
        init_cfg: Config | Sequence[Config] | None = INIT,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            use_depthwise=True,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            anchor_generator=anchor_generator,
            bbox_coder=bbox_coder,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            init_cfg=init_cfg,
        )
        if len(in_channels) != self.prior_generator.num_levels:
            raise InputError(
                f"in_channels={tuple(in_channels)} are {len(in_channels)} maps, but the anchors have "
                f"{self.prior_generator.num_levels} levels: write one list of ratios for each map."
            )

    def _bbox_post_process(self, results: InstanceData, cfg: Any, **kwargs: Any) -> InstanceData:
        """The boxes of an image, suppressed; of each class first the best ``nms_pre_class``."""
        if count := cfg.get("nms_pre_class"):
            results = results[best_of_each_class(results.scores, results.labels, count)]
        return super()._bbox_post_process(results, cfg, **kwargs)


def best_of_each_class(scores: Tensor, labels: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` highest scores of each label, class by class.

    >>> best_of_each_class(torch.tensor([0.1, 0.9, 0.5, 0.2]), torch.tensor([0, 0, 1, 0]), 2).tolist()
    [1, 3, 2]
    """
    order = scores.argsort(descending=True)
    order = order[labels[order].argsort(stable=True)]
    counts = labels.bincount()
    first = (counts.cumsum(0) - counts).repeat_interleave(counts)
    return order[torch.arange(len(order), device=order.device) - first < count]
