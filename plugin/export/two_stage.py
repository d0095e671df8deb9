"""Two-stage detectors and instance masks: what mmdet finds of one image, with operators that ONNX has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import roi_align

from .decoding import decoded
from .suppression import suppress


def lacks(model: Any) -> str:
    """What keeps a two-stage detector from being exported; empty where nothing does.

    What is here does as mmdet's Faster, Mask and Cascade R-CNN do; a class that does more, or otherwise,
    has a method of its own for that.
    """
    from mmdet.models.dense_heads import RPNHead
    from mmdet.models.detectors import TwoStageDetector
    from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
    from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead
    from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
    from mmdet.models.task_modules import AnchorGenerator
    from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder

    rpn, roi = model.rpn_head, model.roi_head
    if type(model).predict is not TwoStageDetector.predict:
        return f"a {type(model).__name__} predicts in a way of its own"
    if type(rpn) is not RPNHead or not isinstance(rpn.prior_generator, AnchorGenerator):
        return f"its {type(rpn).__name__} proposes boxes in a way of its own"
    if type(roi) not in (StandardRoIHead, CascadeRoIHead) or roi.with_shared_head:
        return f"its {type(roi).__name__} is not that of Faster, Mask or Cascade R-CNN with one map per level"
    parts = [*zip(_each(roi.bbox_roi_extractor), _each(roi.bbox_head), strict=True)]
    if roi.with_mask:
        parts += zip(
            _each(roi.mask_roi_extractor or roi.bbox_roi_extractor), _each(roi.mask_head), strict=True
        )
    for extractor, head in parts:
        known = FCNMaskHead if isinstance(head, FCNMaskHead) else ConvFCBBoxHead
        own = type(head)._predict_by_feat_single is not known._predict_by_feat_single
        if type(extractor) is not SingleRoIExtractor:
            return f"its {type(extractor).__name__} takes boxes out of maps in a way of its own"
        if not isinstance(head, known) or own or type(head).forward is not known.forward:
            return f"its {type(head).__name__} predicts in a way of its own"
        if getattr(head, "custom_activation", False):
            return f"its {type(head).__name__} makes scores in a way of its own"
    for coder in (rpn.bbox_coder, *(head.bbox_coder for head in _each(roi.bbox_head))):
        if type(coder) is not DeltaXYWHBBoxCoder:
            return f"its {type(coder).__name__} codes boxes in a way of its own"
    return ""


def find(model: Any, maps: Sequence[Tensor], sides: Tensor) -> tuple[Tensor, ...]:
    """Boxes ``(n, 4)``, scores and labels ``(n,)``, and of instance masks probabilities ``(n, h, w)``.

    Args:
        model: that :func:`lacks` nothing.
        maps: of one image, from its neck.
        sides: ``(2,)``: height and width of the image, without padding, pixels.
    """
    roi_head, cfg = model.roi_head, model.roi_head.test_cfg
    boxes, scores = _classified(roi_head, maps, _proposed(model.rpn_head, maps, sides), sides)
    place, label = (scores > cfg.score_thr).nonzero().unbind(1)
    found, sure = boxes[place, label if boxes.shape[1] > 1 else 0], scores[place, label]
    kept = suppress(found, sure, label, cfg.nms)[: cfg.max_per_img]
    found, sure, label = found[kept], sure[kept], label[kept]
    if not roi_head.with_mask:
        return found, sure, label
    return found, sure, label, _masks(roi_head, maps, found, label)


def _proposed(rpn: Any, maps: Sequence[Tensor], sides: Tensor) -> Tensor:
    """Boxes ``(n, 4)`` that may hold an object, best first."""
    cfg = rpn.test_cfg
    logits, deltas = rpn(maps)
    sizes = [tuple(level.shape[-2:]) for level in logits]
    priors = rpn.prior_generator.grid_priors(sizes, dtype=logits[0].dtype, device=logits[0].device)
    boxes, scores, levels = [], [], []
    for level, (logit, delta, prior) in enumerate(zip(logits, deltas, priors, strict=True)):
        flat = logit[0].permute(1, 2, 0).reshape(-1, rpn.cls_out_channels)
        score = flat.sigmoid()[:, 0] if rpn.use_sigmoid_cls else flat.softmax(-1)[:, 0]
        best = slice(None)
        if cfg.nms_pre > 0:
            score, best = score.topk(torch.sym_min(cfg.nms_pre, score.shape[0]))
        coded = delta[0].permute(1, 2, 0).reshape(-1, 4)[best]
        boxes.append(decoded(rpn.bbox_coder, prior[best][None], coded[None], sides)[0])
        scores.append(score)
        levels.append(torch.full_like(score, level, dtype=torch.long))
    every, sure = torch.cat(boxes), torch.cat(scores)
    kept = suppress(every, sure, torch.cat(levels), cfg.nms, cfg.get("min_bbox_size", -1))
    return every[kept[: cfg.max_per_img]]


def _classified(roi_head: Any, maps: Sequence[Tensor], boxes: Tensor, sides: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes ``(n, classes or 1, 4)`` and scores ``(n, classes)`` after all stages."""
    logits: list[Tensor] = []
    moved = boxes[:, None]
    for extractor, head in zip(_each(roi_head.bbox_roi_extractor), _each(roi_head.bbox_head), strict=True):
        if logits:  # a box goes on as that of its likeliest class
            boxes = moved[:, 0]
            if moved.shape[1] > 1:
                likeliest = logits[-1][:, :-1].argmax(1).view(-1, 1, 1).expand(-1, 1, 4)
                boxes = moved.gather(1, likeliest)[:, 0]
        logit, deltas = head(_pooled(extractor, maps, boxes))
        moved = decoded(head.bbox_coder, boxes[None], deltas[None], sides)[0]
        moved = moved.reshape(-1, deltas.shape[1] // 4, 4)
        logits.append(logit)
    return moved, (torch.stack(logits).sum(0) / len(logits)).softmax(-1)[:, :-1]


def _masks(roi_head: Any, maps: Sequence[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
    """Probabilities ``(n, h, w)`` of the pixels in each box, evenly over it."""
    found = []
    extractors = _each(roi_head.mask_roi_extractor)
    for extractor, head in zip(extractors, _each(roi_head.mask_head), strict=True):
        every = head(_pooled(extractor, maps, boxes)).sigmoid()
        which = (torch.zeros_like(labels) if head.class_agnostic else labels).view(-1, 1, 1, 1)
        found.append(every.gather(1, which.expand(-1, 1, *every.shape[2:]))[:, 0])
    return torch.stack(found).mean(0)


def _pooled(extractor: Any, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """What of the maps lies in each box ``(n, channels, h, w)``, from the level of the box's size."""
    rois = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], 1)
    layers = list(extractor.roi_layers)
    size = layers[0].output_size
    pooled = maps[0].new_zeros(boxes.shape[0], extractor.out_channels, *size)
    levels = extractor.map_roi_levels(rois, len(layers))
    for level, (layer, map_) in enumerate(zip(layers, maps, strict=False)):
        own = (levels == level).nonzero()[:, 0]
        part = roi_align(
            map_, rois[own], size, layer.spatial_scale, max(0, layer.sampling_ratio), layer.aligned
        )
        pooled = pooled.index_put((own,), part)
    return pooled


def _each(parts: Any) -> Iterable[Any]:
    """The parts of each stage: of models of one stage after the proposals the part is alone."""
    return parts if isinstance(parts, torch.nn.ModuleList) else [parts]
