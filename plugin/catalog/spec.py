"""What is known of a backbone before it is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: Mean and standard deviation, RGB, of images in 0..1.
MeanStd = tuple[tuple[float, ...], tuple[float, ...]]

#: Strides of C2..C5. Freezing counts its stages by them: stage k ends at stride ``2 ** (k + 1)``.
PYRAMID = (4, 8, 16, 32)
STAGES = len(PYRAMID)


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
        inputs: Mean and std of those weights that were trained with others than the default ones.
        params: Trainable parameters up to the coarsest map.
        gflops: Billions of multiply-adds up to the coarsest map for one image of 224 x 224, as papers
            count FLOPs: those of convolutions and matrix products, see
            :class:`mmbackbones.tracing.cost.Cost`. 0 outside the catalog, where ``mmbackbones info``
            counts them.
        kind: ``cnn``, ``transformer`` or ``hybrid``, by the same count; empty outside the catalog.
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
    inputs: dict[str, MeanStd] = field(default_factory=dict)
    params: int = 0
    gflops: float = 0.0
    kind: str = ""
    paper: str = ""
    year: int = 0
    aliases: tuple[str, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of all maps that the net has, fine to coarse."""
        return tuple(self.channels)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What the maps suffice for.

        ``classification``: any net. ``detection``, of boxes or instances: maps at strides 8, 16 and 32,
        which all pyramids take. ``segmentation``, of each pixel: a map at stride 4, for the outlines,
        and either all of strides 8, 16 and 32 (FPN, UPerNet) or ``output_stride`` (PSPNet, DeepLab).
        """
        coarse = {8, 16, 32} <= self.channels.keys()
        fine = 4 in self.channels and (coarse or (self.dilatable and 8 in self.channels))
        return ("classification", *["detection"] * coarse, *["segmentation"] * fine)
