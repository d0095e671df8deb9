"""Decode heads, small maps and labels that the tests of heads share."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import init_default_scope
from torch import Tensor

from mmbackbones.registry import MODELS

R18 = [64, 64, 128, 256, 512]  # C1 to C5
SMALL = [8, 12, 16, 24]
UNETPP = dict(type="mmbackbones.UNetPlusPlusHead", num_classes=5, in_channels=SMALL)
NARROW = dict(decoder_channels=(16, 12, 8))


def build(cfg: dict[str, Any]) -> Any:
    init_default_scope("mmseg")
    return MODELS.build(cfg)


def maps(channels: list[int], first: int = 1, image: tuple[int, int] = (65, 99)) -> list[Tensor]:
    """One map of each of ``channels``, the first of stride ``2 ** first``."""
    return [
        torch.randn(2, c, *(-(-side // 2 ** (k + first)) for side in image)) for k, c in enumerate(channels)
    ]
