"""What goes into the file: the whole way from the image's bytes to boxes with scores, or to logits."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError

#: Models whose boxes come from one head. Two-stage models choose boxes on the way, by what the image shows.
_ONE_STAGE = "retinanet, ssdlite, yolov4-tiny, efficientdet"


class ExportNet(nn.Module):
    """A detector or segmenter from raw pixels to raw answers, without choosing among them.

    Takes ``(N, C, H, W)``, 0..255, channels as they are read from files (BGR), sides as the model wants
    them. Returns for one-stage detectors boxes ``(N, anchors, 4)``, x1 y1 x2 y2 in pixels, and their
    scores ``(N, anchors, classes)`` in 0..1, on which non-maximum suppression remains to be done; for
    segmenters logits ``(N, classes, H, W)``.

    Args:
        model: A model of mmdet or mmseg, in eval mode.

    Attributes:
        outputs: ``("boxes", "scores")`` or ``("logits",)``.
        multiple: What the image's sides must be multiples of, in pixels, as the model fills them up itself.

    Raises:
        InputError: a model of another kind.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.outputs = output_names(model)
        given: Any = model.data_preprocessor
        by = (
            (getattr(given, "test_cfg", None) or {}).get("size_divisor")
            if self.outputs == ("logits",)
            else None
        )
        self.multiple = by or getattr(given, "pad_size_divisor", 1) or 1
        normalise = getattr(given, "_enable_normalize", False)
        self.flips = bool(getattr(given, "_channel_conversion", getattr(given, "channel_conversion", False)))
        mean = given.mean if normalise else torch.zeros(3, 1, 1)
        std = given.std if normalise else torch.ones(3, 1, 1)
        self.register_buffer("mean", mean.clone()[None])
        self.register_buffer("std", std.clone()[None])

    def pad_value(self) -> list[float]:
        """The pixel that stands outside an image, in the order of the input's channels."""
        values = self.mean.flatten().tolist()
        return values[::-1] if self.flips else values

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        x = image.flip(1) if self.flips else image
        x = (x - self.mean) / self.std
        model: Any = self.model
        if self.outputs == ("logits",):
            metas = [{"img_shape": x.shape[2:], "pad_shape": x.shape[2:], "ori_shape": x.shape[2:]}]
            return (model.encode_decode(x, metas * len(x)),)
        head = model.bbox_head
        maps = head(model.extract_feat(x))
        if len(maps) == 1:
            return _decode_yolo(head, maps[0])
        scores, boxes = maps
        return _decode_anchors(head, scores, boxes, x.shape[2:])


def output_names(model: Any) -> tuple[str, ...]:
    """``("boxes", "scores")`` or ``("logits",)``.

    Raises:
        InputError: a model of another kind.
    """
    if hasattr(model, "decode_head") and hasattr(model, "encode_decode"):
        return ("logits",)
    if not (lacks := _lacks(getattr(model, "bbox_head", None))):
        return ("boxes", "scores")
    raise InputError(
        f"A {type(model).__name__} cannot be exported: {lacks}. Segmenters can, and detectors with one "
        f"anchor head ({_ONE_STAGE}). `mmbackbones config --model retinanet` writes one with your backbone."
    )


def _lacks(head: Any) -> str:
    """What keeps a detector's head from being exported; empty where nothing does.

    The file decodes as mmdet's ``BaseDenseHead`` does: scores of classes, and boxes coded against anchors. A
    head that does more has a method of its own for that, or gives more maps, which mmdet hands on by place
    to ``loss_by_feat``, before the objects of the images.
    """
    from mmdet.models.dense_heads import AnchorHead, RPNHead, YOLOV3Head
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
    from mmdet.models.task_modules import AnchorGenerator

    if head is None:
        return "it has no bbox_head that gives all boxes"
    name, own = type(head).__name__, type(head)
    if isinstance(head, YOLOV3Head):
        return ""
    if not isinstance(head, AnchorHead) or isinstance(head, RPNHead):
        return f"its {name} has no anchors with scores of classes"
    if not isinstance(getattr(head, "prior_generator", None), AnchorGenerator):
        return f"its {name} codes boxes against something else than fixed anchors"
    for method in ("predict_by_feat", "_predict_by_feat_single"):
        if getattr(own, method) is not getattr(BaseDenseHead, method):
            return f"its {name} decodes boxes in a way of its own"
    asked = list(inspect.signature(own.loss_by_feat).parameters)[1:]
    maps = list(takewhile(lambda parameter: parameter != "batch_gt_instances", asked))
    if len(maps) != 2:
        return f"its {name} gives {', '.join(maps)}, where the file has scores and boxes alone"
    return ""


def _decode_anchors(
    head: Any, scores: list[Tensor], boxes: list[Tensor], shape: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Boxes coded against anchors, and logits of the classes, each level ``(N, anchors * k, h, w)``."""
    sizes = [tuple(level.shape[-2:]) for level in scores]
    priors = torch.cat(head.prior_generator.grid_priors(sizes, dtype=boxes[0].dtype, device=boxes[0].device))
    logits = _flat(scores, head.cls_out_channels)
    found = logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[..., :-1]
    coded = _flat(boxes, 4)
    # As a tensor: numbers would be those of the image that the graph was recorded with.
    bounds = torch.stack([torch.scalar_tensor(side, dtype=coded.dtype) for side in shape])
    decoded = head.bbox_coder.decode(priors.expand(len(coded), -1, 4), coded, max_shape=bounds)
    return decoded, found


def _decode_yolo(head: Any, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """YOLO's levels ``(N, anchors * (5 + classes), h, w)``; a score is that of object times class."""
    sizes = [tuple(level.shape[-2:]) for level in maps]
    priors = head.prior_generator.grid_priors(sizes, dtype=maps[0].dtype, device=maps[0].device)
    strides = torch.cat(
        [
            torch.full_like(level[:, :1], stride)
            for level, stride in zip(priors, head.featmap_strides, strict=True)
        ]
    )
    flat = _flat(maps, head.num_attrib)
    coded = torch.cat([flat[..., :2].sigmoid(), flat[..., 2:4]], -1)
    boxes = head.bbox_coder.decode(torch.cat(priors), coded, strides)
    return boxes, flat[..., 4:5].sigmoid() * flat[..., 5:].sigmoid()


def _flat(levels: list[Tensor], width: int) -> Tensor:
    """Maps of all levels ``(N, anchors * width, h, w)`` as ``(N, all anchors, width)``."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(len(level), -1, width) for level in levels], 1)
