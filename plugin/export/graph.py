"""What goes into the file: the whole way from the image's bytes to boxes with scores, masks or logits."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..heads.relative_anchors import RelativeAnchorGenerator
from . import two_stage
from .decoding import clipped, decoded
from .suppression import best, refused

#: Models that are taken.
_DETECTORS = (
    "with one anchor head, or fcos, mmdet's ATSS and GFL, or Faster, Mask and Cascade R-CNN; "
    "retinanet, ssdlite, yolov4-tiny, efficientdet"
)
#: The map beside scores and boxes that mmdet multiplies the scores by.
_FACTOR = "centernesses"


class ExportNet(nn.Module):
    """A detector or segmenter from raw pixels to boxes, masks or logits.

    Takes ``(N, C, H, W)``, 0..255, channels as they are read from files (BGR), sides as the model wants
    them. Returns for one-stage detectors boxes ``(N, anchors, 4)``, x1 y1 x2 y2 in pixels, and their
    scores ``(N, anchors, classes)`` in 0..1, of some heads factors ``(N, anchors)`` by which those scores
    that pass the threshold are multiplied, on which non-maximum suppression remains to be done; for
    segmenters logits ``(N, classes, H, W)``.

    Where boxes are chosen inside, it takes one image, and the height and width of what of it is no padding
    ``(2,)``; it returns boxes ``(1, n, 4)``, scores and labels ``(1, n)``, and of instance masks
    probabilities ``(1, n, h, w)``, evenly over each box.

    Args:
        model: A model of mmdet or mmseg, in eval mode.
        nms: Choose boxes inside; models of two stages do in any case.

    Attributes:
        outputs: Names of what is returned.
        inputs: Names of what is taken: ``image``, and where boxes are chosen inside ``sides``.
        channels: That an image has.
        multiple: What the image's sides must be multiples of, in pixels, as the model fills them up itself.

    Raises:
        InputError: a model of another kind.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, nms: bool = False) -> None:
        super().__init__()
        self.model = model
        self.outputs = output_names(model, nms)
        self.inputs = ("image", "sides") if "labels" in self.outputs else ("image",)
        given: Any = model.data_preprocessor
        by = (
            (getattr(given, "test_cfg", None) or {}).get("size_divisor")
            if self.outputs == ("logits",)
            else None
        )
        self.multiple = by or getattr(given, "pad_size_divisor", 1) or 1
        normalise = getattr(given, "_enable_normalize", False)
        self.flips = bool(getattr(given, "_channel_conversion", getattr(given, "channel_conversion", False)))
        self.channels = _channels(model)
        mean = given.mean if normalise else torch.zeros(self.channels, 1, 1)
        std = given.std if normalise else torch.ones(self.channels, 1, 1)
        self.register_buffer("mean", mean.clone()[None])
        self.register_buffer("std", std.clone()[None])

    def pad_value(self) -> list[float]:
        """The pixel that stands outside an image, in the order of the input's channels."""
        values = self.mean.flatten().tolist()
        return values[::-1] if self.flips else values

    def forward(self, image: Tensor, sides: Tensor | None = None) -> tuple[Tensor, ...]:
        """See the class."""
        x = image.flip(1) if self.flips else image
        x = (x - self.mean) / self.std
        model: Any = self.model
        if self.outputs == ("logits",):
            metas = [{"img_shape": x.shape[2:], "pad_shape": x.shape[2:], "ori_shape": x.shape[2:]}]
            return (model.encode_decode(x, metas * len(x)),)
        if sides is None:
            return _every_box(model.bbox_head, model.extract_feat(x), _sides_of(x))
        if hasattr(model, "roi_head"):
            found = two_stage.find(model, model.extract_feat(x), sides)
        else:
            boxes, scores, *factors = _every_box(model.bbox_head, model.extract_feat(x), sides)
            if clips(model.bbox_head):
                boxes = clipped(boxes, sides)
            found = best(model.bbox_head, boxes[0], scores[0], factors[0][0] if factors else None)
        return tuple(one[None] for one in found)


def output_names(model: Any, nms: bool = False) -> tuple[str, ...]:
    """Names of what :class:`ExportNet` returns of a model.

    Raises:
        InputError: a model of another kind, or one whose boxes cannot be chosen inside.
    """
    if hasattr(model, "decode_head") and hasattr(model, "encode_decode"):
        if nms:
            raise InputError(
                f"--nms chooses boxes, but a {type(model).__name__} is a segmenter: leave it out."
            )
        return ("logits",)
    staged = hasattr(model, "roi_head") and hasattr(model, "rpn_head")
    head = getattr(model, "bbox_head", None)
    lacks = two_stage.lacks(model) if staged else _lacks(head)
    if not lacks and staged:
        lacks = refused(model.rpn_head.test_cfg) or refused(model.roi_head.test_cfg)
    if not lacks and nms and not staged and (without := refused(head.test_cfg)):  # type: ignore[union-attr]
        raise InputError(f"--nms: {without}. Leave it out: run.py does it beside the file.")
    if not lacks and (staged or nms):
        return ("boxes", "scores", "labels", *["masks"] * (staged and model.roi_head.with_mask))
    if not lacks:
        return ("boxes", "scores", *["factors"] * (len(_maps(head)) > 2))
    raise InputError(
        f"A {type(model).__name__} cannot be exported: {lacks}. Segmenters can, and detectors {_DETECTORS}. "
        f"`mmbackbones config --model retinanet` writes one with your backbone."
    )


def _channels(model: Any) -> int:
    """What the backbone's first convolution takes."""
    every = model.backbone.modules() if hasattr(model, "backbone") else ()
    return next((one.in_channels for one in every if isinstance(one, nn.Conv2d)), 3)


def _every_box(head: Any, features: Sequence[Tensor], sides: Tensor) -> tuple[Tensor, ...]:
    """Boxes, scores and what factors there are of one head, unchosen; boxes lie in ``sides`` (2,)."""
    maps = head(features)
    if len(maps) == 1:
        return _decode_yolo(head, maps[0])
    factors = [_flat(maps[2], 1)[..., 0].sigmoid()] if len(maps) > 2 else []
    return _decode_boxes(head, maps[1], sides), _scores(head, maps[0]), *factors


def _sides_of(image: Tensor) -> Tensor:
    """Height and width as a tensor: numbers would be those of the image that the graph was recorded with."""
    return torch.stack([torch.scalar_tensor(side, dtype=image.dtype) for side in image.shape[2:]])


def _lacks(head: Any) -> str:
    """What keeps a detector's head from being exported; empty where nothing does.

    The file decodes as mmdet's ``BaseDenseHead`` does: scores of classes, boxes coded against anchors or
    points, and factors of the scores. A head that does more has a method of its own for that, or gives more
    maps, which mmdet hands on by place to ``loss_by_feat``, before the objects of the images.
    """
    from mmdet.models.dense_heads import AnchorHead, FCOSHead, GFLHead, RPNHead, YOLOV3Head
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
    from mmdet.models.task_modules import AnchorGenerator, MlvlPointGenerator

    if head is None:
        return "it has no bbox_head that gives all boxes"
    name, own = type(head).__name__, type(head)
    if isinstance(head, YOLOV3Head):
        return ""
    if not isinstance(head, (AnchorHead, FCOSHead)) or isinstance(head, RPNHead):
        return f"its {name} has no anchors with scores of classes"
    points = isinstance(head, FCOSHead) and isinstance(head.prior_generator, MlvlPointGenerator)
    anchors = (AnchorGenerator, RelativeAnchorGenerator)
    if not points and not isinstance(getattr(head, "prior_generator", None), anchors):
        return f"its {name} codes boxes against something else than fixed anchors"
    known = GFLHead if isinstance(head, GFLHead) else BaseDenseHead
    for method in ("predict_by_feat", "_predict_by_feat_single"):
        if getattr(own, method) is not getattr(known, method):
            return f"its {name} decodes boxes in a way of its own"
    maps = _maps(head)
    if len(maps) < 2 or maps[2:] not in ([], [_FACTOR]):
        return f"its {name} gives {', '.join(maps)}, where the file has scores and boxes alone"
    return ""


def _maps(head: Any) -> list[str]:
    """Names of the maps that a head gives, each a list of levels, as its loss takes them."""
    from mmdet.models.dense_heads import YOLOV3Head

    if isinstance(head, YOLOV3Head):
        return ["pred_maps"]
    asked = list(inspect.signature(type(head).loss_by_feat).parameters)[1:]
    return list(takewhile(lambda parameter: parameter != "batch_gt_instances", asked))


def clips(head: Any) -> bool:
    """Whether a head's boxes are clipped at the image; mmdet's own YOLO heads leave them."""
    from mmdet.models.dense_heads import YOLOV3Head

    own = type(head)._bbox_post_process is not YOLOV3Head._bbox_post_process
    return own or not isinstance(head, YOLOV3Head)


def _scores(head: Any, levels: list[Tensor]) -> Tensor:
    """Scores of the classes, of logits of each level ``(N, anchors * k, h, w)``."""
    logits = _flat(levels, head.cls_out_channels)
    return logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[..., :-1]


def _decode_boxes(head: Any, levels: list[Tensor], bounds: Tensor) -> Tensor:
    """Boxes coded against anchors, or as distances from points, each level ``(N, anchors * k, h, w)``."""
    from mmdet.models.dense_heads import GFLHead
    from mmdet.models.task_modules.coders import DistancePointBBoxCoder

    sizes = [tuple(level.shape[-2:]) for level in levels]
    each = head.prior_generator.grid_priors(sizes, dtype=levels[0].dtype, device=levels[0].device)
    priors = torch.cat(each)
    if not isinstance(head.bbox_coder, DistancePointBBoxCoder):
        coded = _flat(levels, 4)
        return decoded(head.bbox_coder, priors.expand(len(coded), -1, 4), coded, bounds)
    if isinstance(head, GFLHead):  # distances are means of distributions, in strides
        coded = _flat(levels, 4 * (head.reg_max + 1))
        by = torch.cat(
            [torch.full_like(one[:, :1], stride[0]) for one, stride in zip(each, _strides(head), strict=True)]
        )
        distances = head.integral(coded).reshape(len(coded), -1, 4) * by
        priors = head.anchor_center(priors)
    else:
        distances = _flat(levels, 4)
    corners = torch.cat([priors - distances[..., :2], priors + distances[..., 2:]], -1)
    return clipped(corners, bounds)


def _strides(head: Any) -> list[Any]:
    return list(head.prior_generator.strides)


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
