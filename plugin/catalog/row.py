"""How one line of the catalog becomes a :class:`~mmbackbones.spec.Spec`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..spec import IMAGENET_MEAN, IMAGENET_STD, Spec

#: Input of weights that came from TensorFlow.
HALF: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def row(
    name: str,
    family: str,
    channels: Sequence[int],
    params: int,
    paper: str,
    year: int,
    *,
    source: str = "timm",
    upstream: str = "",
    first_stride: int = 2,
    has_se: bool = False,
    dilatable: bool = True,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    timm: str = "",
    torchvision: str = "",
    aliases: str = "",
    arguments: dict[str, Any] | None = None,
) -> Spec:
    """One backbone.

    Args:
        name: The catalog's name.
        family: Its family.
        channels: Of each map, by doubling stride.
        params: Trainable parameters to the coarsest map.
        paper: arXiv id, or DOI.
        year: Of the paper.
        source: ``timm``, ``torchvision`` or ``native``.
        upstream: The source's name where it is another; for native nets ``<file>.<function>``.
        first_stride: Stride of the first map.
        has_se: Whether any block has a squeeze-and-excitation gate.
        dilatable: Whether ``output_stride`` works.
        mean: Input mean of the default weights, RGB in 0..1.
        std: Likewise.
        timm: Tags of timm's weights that fit the parameter names, the default first.
        torchvision: Tags of torchvision's.
        aliases: Short names.
        arguments: For the upstream's constructor.
    """
    upstream = upstream or name
    weights = [f"timm://{upstream}.{tag}" for tag in timm.split()]
    weights += [f"torchvision://{upstream}.{tag}" for tag in torchvision.split()]
    return Spec(
        name=name,
        source=source,
        upstream=upstream,
        family=family,
        channels={first_stride << index: width for index, width in enumerate(channels)},
        has_se=has_se,
        dilatable=dilatable,
        mean=mean,
        std=std,
        weights=tuple(weights),
        params=params,
        paper=paper,
        year=year,
        aliases=tuple(aliases.split()),
        arguments=dict(arguments or {}),
    )
