"""The transfer score of a pretrained net: LogME of what its maps show of the user's boxes or labels."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from ..compose.configs import kind, walk
from .logme import logme

IMAGES = 64  # of the training images, evenly spread
_REGIONS = 20  # of an image, at most
_IGNORED = 255


@torch.no_grad()
def transfer_score(cfg: Config, device: str) -> float | None:
    """LogME (arXiv 2102.11005) of the backbone's maps, on training images without augmentation.

    A sample is a ground-truth box, for which RoIAlign averages each map, or a class of an image, whose pixels
    are averaged; all maps are joined, each brought to unit variance. The pretrained weights are loaded.

    Args:
        cfg: of a run.
        device: as ``cuda``.

    Returns:
        The score, more is better; None where the images show fewer than two classes.
    """
    init_default_scope(cfg.default_scope)
    model = revert_sync_batchnorm(MODELS.build(copy.deepcopy(cfg.model)))
    model.backbone.init_weights()
    model = model.to(device).eval()
    dataset = DATASETS.build(_plain_dataset(cfg))
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(IMAGES, len(dataset))).astype(int))
    labels: list[Tensor] = []
    features: list[list[Tensor]] = []
    for index in chosen:
        data = model.data_preprocessor(pseudo_collate([dataset[int(index)]]), False)
        maps = [fmap.float() for fmap in model.backbone(data["inputs"])]
        found, seen = regions(maps, data["data_samples"][0], data["inputs"].shape[-2:])
        labels.append(found)
        features.append(seen)
    classes = torch.cat(labels).cpu().numpy()
    if len(np.unique(classes)) < 2:
        return None
    joined = [torch.cat(level).cpu().numpy() for level in zip(*features, strict=True)]
    score = logme(np.concatenate([_unit(level) for level in joined], 1), classes)
    return round(score, 5) if math.isfinite(score) else None


def regions(maps: list[Tensor], sample: Any, size: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
    """Labels ``(samples,)`` of an image's boxes or classes, and of each map what it shows ``(samples, C)``.

    Args:
        maps: ``(1, C, h, w)``.
        sample: of mmdet, with boxes in pixels of the image, or of mmseg, with a label for each pixel.
        size: height and width of the padded image.
    """
    if "gt_sem_seg" in sample:
        return _labelled(maps, sample.gt_sem_seg.data[0].to(maps[0].device), size)
    boxes = sample.gt_instances.bboxes
    boxes = getattr(boxes, "tensor", boxes)[:_REGIONS].to(maps[0])
    found = [
        roi_align(one, [boxes * _ratio(one, size)], output_size=1, spatial_scale=1.0, aligned=True)[..., 0, 0]
        for one in maps
    ]
    return sample.gt_instances.labels[:_REGIONS], found


def _ratio(fmap: Tensor, size: tuple[int, int]) -> Tensor:
    """Cells for each pixel along x, y, x, y."""
    high, wide = fmap.shape[-2] / size[0], fmap.shape[-1] / size[1]
    return torch.tensor([wide, high, wide, high], device=fmap.device)


def _labelled(maps: list[Tensor], label: Tensor, size: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
    label = F.pad(label, (0, size[1] - label.shape[1], 0, size[0] - label.shape[0]), value=_IGNORED)
    classes = torch.unique(label)
    classes = classes[classes != _IGNORED]
    masks = (label == classes[:, None, None]).float()[None]
    found = []
    for one in maps:
        share = F.adaptive_avg_pool2d(masks, (one.shape[-2], one.shape[-1]))[
            0
        ]  # of each cell, (classes, h, w)
        found.append(torch.einsum("khw,chw->kc", share, one[0]) / share.sum((1, 2))[:, None])
    return classes, found


def _unit(features: np.ndarray) -> np.ndarray:
    return features / max(float(features.std()), 1e-12)


def _plain_dataset(cfg: Config) -> Any:
    """The training images as an evaluation sees them, with labels that are resized with the image."""
    dataset = copy.deepcopy(cfg.train_dataloader.dataset)
    while "dataset" in dataset or "datasets" in dataset:
        dataset = dataset.get("dataset") or dataset.datasets[0]
    loading = next(node for _, node in walk(cfg.train_dataloader) if kind(node) == "LoadAnnotations")
    steps = [one for one in cfg.val_dataloader.dataset.pipeline if kind(one) != "LoadAnnotations"]
    dataset.pipeline = [steps[0], copy.deepcopy(loading), *steps[1:]]
    return dataset
