"""YOLOv4's head, as YOLOv4-tiny uses it: boxes by CIoU, anchors by shape, centres beyond their cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import YOLOV3Head
from mmdet.models.task_modules.coders import YOLOBBoxCoder
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from torch import Tensor
from torch.nn.functional import one_hot

Config = dict[str, Any]

ANCHORS: Config = dict(
    type="mmdet.YOLOAnchorGenerator",
    base_sizes=[[(81, 82), (135, 169), (344, 319)], [(23, 27), (37, 58), (81, 82)]],
    strides=[32, 16],
)
BOX_CODER: Config = dict(type="mmbackbones.YOLOV4BBoxCoder", scale_x_y=1.05)
CROSS_ENTROPY: Config = dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True)
# eps is in square pixels: with mmdet's 1e-6, lost beside any area, a box that is met exactly costs 0 / 0.
CIOU: Config = dict(type="mmdet.CIoULoss", loss_weight=5.0, eps=0.1)


class YOLOV4BBoxCoder(YOLOBBoxCoder):
    """mmdet's ``YOLOBBoxCoder`` with centres that can leave their cell (arXiv 2004.10934, section 3.4).

    A centre is ``(sigmoid(t) - 0.5) scale_x_y + 0.5`` of its cell, so that the cell's border is reached
    at a finite ``t``. What arrives and leaves is ``sigmoid(t)``, as in mmdet's coder.

    Args:
        scale_x_y: 1.05 in YOLOv4-tiny; 1 is YOLOv3.
        eps: keeps encoded centres this far from 0 and 1.
    """

    def __init__(self, scale_x_y: float = 1.05, eps: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(eps=eps, **kwargs)
        self.scale_x_y = scale_x_y

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor, stride: Tensor | int) -> Tensor:
        """``(..., 4)`` boxes and their ``(..., 4)`` truths, x1 y1 x2 y2, to what the head should give."""
        x, y, w, h = super().encode(bboxes, gt_bboxes, stride).unbind(-1)
        x, y = ((t - 0.5) / self.scale_x_y + 0.5 for t in (x, y))
        return torch.stack([x, y, w, h], -1)

    def decode(self, bboxes: Tensor, pred_bboxes: Tensor, stride: Tensor | int) -> Tensor:
        """``(..., 4)`` boxes and ``(..., 4)`` predictions, centres after the sigmoid, to boxes."""
        centre = (pred_bboxes[..., :2] - 0.5) * self.scale_x_y + 0.5
        return super().decode(bboxes, torch.cat([centre, pred_bboxes[..., 2:]], -1), stride)


class YOLOV4Head(YOLOV3Head):
    """Head of YOLOv4-tiny (arXiv 2011.08036; losses of arXiv 2004.10934) with its anchors as default.

    Layers and prediction are those of mmdet's ``YOLOV3Head``, for each map a 3x3 convolution and a 1x1
    convolution, but that boxes end at the image's border. The training follows darknet: an object is
    learnt by the anchors whose shape, centre on centre, overlaps it best, in the cell that its centre lies
    in, at every level that has the anchor (81x82 is at both). The box is learnt by CIoU, the classes by
    binary cross entropy; all other predictions learn that there is no object, but for those that overlap an
    object by more than ``ignore_iou_thr``. Losses are summed over an image and averaged over the batch.

    Differences from darknet: an object smaller than the smallest anchor is learnt by that anchor, while
    darknet's two levels leave out its 10x14 anchor and what fits it best. CIoU has its true gradient;
    darknet does not follow it through sigmoid and cell size, and weighs its own by 0.07, which pulls a
    centre about as ``loss_weight=5`` does here. Batch norms keep torch's eps and momentum.

    Args:
        num_classes: number of classes.
        in_channels: of each map that arrives, coarse to fine.
        out_channels: of the 3x3 convolution of each map.
        anchor_generator: sizes in pixels of the image that the network gets; for 416 px by default.
        bbox_coder: a coder whose centres are shares of a cell.
        featmap_strides: stride of each map in pixels.
        loss_bbox: mmdet's loss of boxes in pixels, one number for each.
        loss_conf: mmdet's loss of "an object here".
        loss_cls: mmdet's loss of the classes, each by itself.
        ignore_iou_thr: see above.
        **kwargs: further arguments of ``YOLOV3Head``: ``test_cfg``, ``norm_cfg``, ``act_cfg``,
            ``one_hot_smoother``.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int] = (256, 384),
        out_channels: Sequence[int] = (512, 256),
        anchor_generator: Config = ANCHORS,
        bbox_coder: Config = BOX_CODER,
        featmap_strides: Sequence[int] = (32, 16),
        loss_bbox: Config = CIOU,
        loss_conf: Config = CROSS_ENTROPY,
        loss_cls: Config = CROSS_ENTROPY,
        ignore_iou_thr: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_classes,
            in_channels,
            out_channels,
            anchor_generator=anchor_generator,
            bbox_coder=bbox_coder,
            featmap_strides=featmap_strides,
            loss_conf=loss_conf,
            loss_cls=loss_cls,
            **kwargs,
        )
        del self.loss_xy, self.loss_wh  # of YOLOv3
        self.loss_bbox = MODELS.build(loss_bbox)
        self.ignore_iou_thr = ignore_iou_thr

    def loss_by_feat(
        self,
        pred_maps: Sequence[Tensor],
        batch_gt_instances: Sequence[Any],
        batch_img_metas: Sequence[dict[str, Any]],
        batch_gt_instances_ignore: Any = None,
    ) -> dict[str, Tensor]:
        """``loss_bbox``, ``loss_conf`` and ``loss_cls`` of a batch.

        Args:
            pred_maps: for each level ``(N, anchors * (5 + num_classes), H, W)``.
            batch_gt_instances: for each image ``bboxes`` (M, 4) in pixels and ``labels`` (M,).
            batch_img_metas: one for each image.
            batch_gt_instances_ignore: is not used.
        """
        sizes = [(pred.shape[-2], pred.shape[-1]) for pred in pred_maps]
        priors = self.prior_generator.grid_priors(sizes, device=pred_maps[0].device)
        strides = torch.cat(
            [p.new_full((len(p), 1), s) for p, s in zip(priors, self.featmap_strides, strict=True)]
        )
        count = len(batch_img_metas)
        flat = torch.cat(
            [p.permute(0, 2, 3, 1).reshape(count, -1, self.num_attrib) for p in pred_maps], dim=1
        )
        encoded = torch.cat([flat[..., :2].sigmoid(), flat[..., 2:4]], -1)
        boxes = self.bbox_coder.decode(torch.cat(priors), encoded, strides)
        conf, weight = torch.zeros_like(flat[..., 4]), torch.ones_like(flat[..., 4])
        found: list[tuple[Tensor, Tensor, Tensor]] = []  # predicted boxes, true boxes, class logits
        labels = []
        for i, truth in enumerate(batch_gt_instances):
            gt_boxes = get_box_tensor(truth.bboxes)
            learnt, by = self.responsible(gt_boxes, sizes)
            weight[i] = self._overlap_no_object(boxes[i].detach(), gt_boxes)
            conf[i, by], weight[i, by] = 1, 1
            found.append((boxes[i, by], gt_boxes[learnt], flat[i, by, 5:]))
            labels.append(truth.labels[learnt])
        predicted, true, logits = (torch.cat(part) for part in zip(*found, strict=True))
        classes = one_hot(torch.cat(labels), self.num_classes).to(logits)
        if self.one_hot_smoother:
            classes = classes * (1 - self.one_hot_smoother) + self.one_hot_smoother / self.num_classes
        return dict(
            loss_bbox=self.loss_bbox(predicted, true, avg_factor=count),
            loss_conf=self.loss_conf(flat[..., 4], conf, weight=weight, avg_factor=count),
            loss_cls=self.loss_cls(logits, classes, avg_factor=count),
        )

    def _bbox_post_process(self, results: Any, *args: Any, img_meta: Config, **kwargs: Any) -> Any:
        """mmdet's, of boxes cut at the image's border, as darknet's own evaluation cuts them."""
        height, width = img_meta["img_shape"][:2]
        boxes = results.bboxes
        ends = boxes.new_tensor([width, height, width, height])
        results.bboxes = torch.minimum(boxes.clamp(min=0), ends)
        return super()._bbox_post_process(results, *args, img_meta=img_meta, **kwargs)

    def responsible(self, gt_boxes: Tensor, sizes: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Which predictions learn which objects.

        Args:
            gt_boxes: ``(M, 4)``, x1 y1 x2 y2 in pixels.
            sizes: cells (rows, columns) of each level.

        Returns:
            Indices of objects, and of the predictions of the image in the order of ``grid_priors``; as
            many of both, an object at least once.
        """
        anchors = torch.cat([base[:, 2:] - base[:, :2] for base in self.prior_generator.base_anchors])
        sides = (gt_boxes[:, 2:] - gt_boxes[:, :2])[:, None]
        anchors = anchors.to(sides)
        shared = torch.minimum(sides, anchors).prod(-1)
        iou = shared / (sides.prod(-1) + anchors.prod(-1) - shared)
        best = iou == iou.amax(1, keepdim=True)
        centres = (gt_boxes[:, :2] + gt_boxes[:, 2:]) / 2
        objects, predictions = [], []
        start, first = 0, 0
        for (rows, columns), stride in zip(sizes, self.featmap_strides, strict=True):
            which, anchor = best[:, first : first + self.num_base_priors].nonzero(as_tuple=True)
            column = (centres[which, 0] / stride).long().clamp(0, columns - 1)
            row = (centres[which, 1] / stride).long().clamp(0, rows - 1)
            objects.append(which)
            predictions.append(start + (row * columns + column) * self.num_base_priors + anchor)
            start += rows * columns * self.num_base_priors
            first += self.num_base_priors
        return torch.cat(objects), torch.cat(predictions)

    def _overlap_no_object(self, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """1 for each of ``boxes`` that overlaps no object by more than ``ignore_iou_thr``, else 0."""
        if not len(gt_boxes):
            return boxes.new_ones(len(boxes))
        return (bbox_overlaps(boxes, gt_boxes).amax(1) <= self.ignore_iou_thr).to(boxes)
