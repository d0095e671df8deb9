"""Detectors of torchvision as checkpoints of mmdet's Faster R-CNN with our backbone and neck."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InputError

#: The config that converted weights are for.
CONFIG = "detection/faster-rcnn-torchvision_resnet50_fpn_1x_coco"
# torchvision's names, with and without the zeros that it writes since 0.14, and ours.
_RULES = {
    r"backbone\.body\.((?:conv1|bn1|layer[1-4])\..+)": r"backbone.\1",
    r"backbone\.fpn\.inner_blocks\.(\d)\.(?:0\.)?(weight|bias)": r"neck.lateral_convs.\1.conv.\2",
    r"backbone\.fpn\.layer_blocks\.(\d)\.(?:0\.)?(weight|bias)": r"neck.fpn_convs.\1.conv.\2",
    r"rpn\.head\.conv\.(?:0\.0\.)?(weight|bias)": r"rpn_head.rpn_conv.\1",
    r"rpn\.head\.cls_logits\.(.+)": r"rpn_head.rpn_cls.\1",
    r"rpn\.head\.bbox_pred\.(.+)": r"rpn_head.rpn_reg.\1",
    r"roi_heads\.box_head\.fc6\.(.+)": r"roi_head.bbox_head.shared_fcs.0.\1",
    r"roi_heads\.box_head\.fc7\.(.+)": r"roi_head.bbox_head.shared_fcs.1.\1",
    r"roi_heads\.box_predictor\.cls_score\.(.+)": r"roi_head.bbox_head.fc_cls.\1",
    r"roi_heads\.box_predictor\.bbox_pred\.(.+)": r"roi_head.bbox_head.fc_reg.\1",
}
_SCORES, _BOXES = "roi_head.bbox_head.fc_cls.", "roi_head.bbox_head.fc_reg."


def convert(
    state: Mapping[str, Tensor], keep: Sequence[int] | None = None, eps: float | None = None
) -> dict[str, Tensor]:
    """Weights of torchvision's ``fasterrcnn_resnet50_fpn`` for the model of :data:`CONFIG`.

    The background, torchvision's class 0, becomes the last class; its boxes, which nobody reads, are left
    out. Batch norms are frozen in the config and divide by the deviation without eps, as torchvision's do
    with its COCO weights: the eps of others is added to the variance.

    Args:
        state: the detector's state dict; unchanged.
        keep: numbers of torchvision's classes to keep, in this order; by default all, 1, 2, ...
        eps: of the batch norms; by default 1e-5 where they count batches, which is ``nn.BatchNorm2d``, and
            0 where they do not.

    Raises:
        InputError: ``state`` is of another network.
    """
    rules = {name: _rule(name) for name in state}
    unknown = [name for name, rule in rules.items() if rule is None]
    lacking = [ours for theirs, ours in _RULES.items() if theirs not in rules.values()]
    if unknown or lacking:
        found = (
            f"it also has {', '.join(unknown[:2])}" if unknown else f"it has no {lacking[0].split('.')[0]}"
        )
        raise InputError(
            f"These are no weights of torchvision's fasterrcnn_resnet50_fpn: {found}. Give the file of that "
            f"detector, or what `torch.save(model.state_dict(), ...)` wrote of one. Others of torchvision's "
            f"detectors (_v2, mobilenet, Mask R-CNN, RetinaNet, ...) cannot be converted."
        )
    if eps is None:
        eps = 1e-5 if any(name.endswith("num_batches_tracked") for name in state) else 0.0
    converted = {}
    for name, value in state.items():
        if name.endswith("running_var"):
            value = value + eps
        if not name.endswith("num_batches_tracked"):
            converted[re.sub(str(rules[name]), _RULES[str(rules[name])], name)] = value
    rows = list(keep) if keep is not None else list(range(1, len(converted[f"{_SCORES}bias"])))
    for kind in ("weight", "bias"):
        converted[_SCORES + kind] = converted[_SCORES + kind][[*rows, 0]]
        converted[_BOXES + kind] = converted[_BOXES + kind].unflatten(0, (-1, 4))[rows].flatten(0, 1)
    return converted


def _rule(name: str) -> str | None:
    return next((pattern for pattern in _RULES if re.fullmatch(pattern, name)), None)


def number_of_classes(converted: Mapping[str, Tensor]) -> int:
    """Of the weights that :func:`convert` gives, without the background."""
    return len(converted[f"{_SCORES}bias"]) - 1


def coco_classes() -> dict[str, int]:
    """COCO's 80 classes and their numbers at torchvision, which has a background and 10 unused ones too."""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return {name: number for number, name in enumerate(names) if name not in ("__background__", "N/A")}


def checkpoint_of(
    file: str | Path, classes: Sequence[str] | None = None, eps: float | None = None
) -> dict[str, Any]:
    """A file of torchvision's detector as a checkpoint that ``mmbackbones test`` and ``predict`` take.

    Args:
        file: a state dict, by itself or under ``model`` or ``state_dict``, or
            ``torchvision://fasterrcnn_resnet50_fpn.COCO_V1``.
        classes: names, without the background. They may be left out for 91 classes, which then are those
            of COCO: its 80 are kept, the 10 that no image has are not.
        eps: as in :func:`convert`.

    Returns:
        ``state_dict``, and ``meta`` with the names in ``dataset_meta``.

    Raises:
        InputError: unreadable, another network, or not as many names as classes.
    """
    from .files import read_checkpoint, state_dict_of

    state = state_dict_of(read_checkpoint(file))
    converted = convert(state, eps=eps)
    count = number_of_classes(converted)
    if classes is None and count == 90:
        classes = list(coco_classes())
        converted = convert(state, list(coco_classes().values()), eps)
    if classes is None or number_of_classes(converted) != len(classes):
        named = "no names" if classes is None else f"{len(classes)} names"
        raise InputError(
            f"{file} has {count} classes beside the background, and there are {named}. Name each of them in "
            f"the detector's order: --classes red,white,..."
        )
    return {"meta": {"dataset_meta": {"classes": tuple(classes)}}, "state_dict": converted}
