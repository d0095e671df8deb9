"""What is known of a backbone before it is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: Strides of C2..C5. Freezing counts its stages by them: stage k ends at stride ``2 ** (k + 1)``.
PYRAMID = (4, 8, 16, 32)


@dataclass(frozen=True)
class Spec:
    """One backbone as data.

    Attributes:
        name: The catalog's name, or ``<source>:<upstream>`` for a net outside the catalog.
        source: Who has the network: ``timm`` or ``torchvision``.
        upstream: Its name there.
        family: The architecture's family, e.g. ``resnet``.
        channels: Channels of each map by its stride in pixels, fine to coarse, e.g. ``{4: 256, ...}``.
        has_se: Whether any block holds a squeeze-and-excitation gate (INT8 tools dislike them).
        dilatable: Whether ``output_stride`` has a meaning (a convolutional net).
        mean: Mean of the default weights' input, RGB, images in 0..1.
        std: Standard deviation, likewise.
        weights: What ``init_cfg`` can load, best default first: ``timm://resnet50.a1_in1k``.
        params: Trainable parameters up to the coarsest map.
        paper: arXiv id, or a DOI where there is no arXiv id.
        year: The year of the paper.
        aliases: Short names that mean the same row.
        arguments: What the upstream's constructor is given for this row.
    """

    name: str
    source: str
    upstream: str
    family: str
    channels: dict[int, int]
    has_se: bool
    dilatable: bool
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    weights: tuple[str, ...] = ()
    params: int = 0
    paper: str = ""
    year: int = 0
    aliases: tuple[str, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of all maps that the net has, fine to coarse."""
        return tuple(self.channels)
