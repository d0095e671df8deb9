"""Strides 4, 8, 16, 32 for plain vision transformers, which have one stride (their patch size).

Four taps spread evenly over the depth; the tap of each level is brought to the level's stride by
transposed convolutions or max pools, as BEiT (arXiv 2106.08254, appendix) and ViTDet (arXiv
2203.16527, sec. 3) do. Deviation: patch sizes that are no power of two (14) are first resampled
bilinearly to the nearest stride that is one (16), each sample at its place in the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ..catalog.spec import PYRAMID
from ..sources.cells import ceil_div, cut, pad_to, resample
from ..sources.feature_net import PYRAMID_NAME, FeatureNet, child


def is_plain(feature_net: FeatureNet) -> bool:
    """Whether all taps of the network have one and the same stride, as the upstream says."""
    strides = getattr(feature_net, "reductions", ())
    return len(strides) >= len(PYRAMID) and len(set(strides)) == 1


class PyramidNet:
    """A plain transformer with four levels. See :class:`mmbackbones.sources.FeatureNet`.

    Args:
        feature_net: The transformer. Its module gets one more child, :data:`PYRAMID_NAME`.
    """

    def __init__(self, feature_net: FeatureNet) -> None:
        self.inner, self.net, self.classifier = feature_net, feature_net.net, feature_net.classifier
        self.taps = len(PYRAMID)
        self.patch = int(feature_net.reductions[0])  # type: ignore[attr-defined]
        self.base = 2 ** round(math.log2(self.patch))
        width = feature_net.widths[-1]  # type: ignore[attr-defined]
        levels = {str(stride): _to_stride(self.base, stride, width) for stride in PYRAMID}
        self.net.add_module(PYRAMID_NAME, nn.ModuleDict(levels))
        self.places = [feature_net.taps * (k + 1) // len(PYRAMID) - 1 for k in range(len(PYRAMID))]

    def run(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """NCHW maps of the levels ``taps``, each of ceil(size / stride) cells."""
        high, wide = x.shape[-2:]
        x, _ = pad_to(x, self.patch)
        places = sorted({self.places[tap] for tap in taps})
        inner = dict(zip(places, self.inner.run(x, places), strict=True))
        maps = []
        for tap in taps:
            stride = PYRAMID[tap]
            fmap = self._resampled(inner[self.places[tap]], high, wide)
            fmap = child(self.net, f"{PYRAMID_NAME}.{stride}")(fmap)
            maps.append(cut(fmap, (-high % self.base, -wide % self.base), stride))
        return maps

    def _resampled(self, fmap: Tensor, high: int, wide: int) -> Tensor:
        """The map at stride ``base``: its cell i samples the patches around pixel (i + 0.5) base."""
        if self.patch == self.base:
            return fmap
        cells = [ceil_div(side, self.base) for side in (high, wide)]
        return resample(fmap, self.patch, self.base, cells)[..., : cells[0], : cells[1]]


def _to_stride(base: int, stride: int, width: int) -> nn.Sequential:
    """Layers from a map at ``base`` to ``stride``: transposed convolutions, nothing, or max pools."""
    from timm.layers import LayerNorm2d

    layers: list[nn.Module] = []
    while base > stride:
        if layers:
            layers += [LayerNorm2d(width), nn.GELU()]
        layers.append(nn.ConvTranspose2d(width, width, kernel_size=2, stride=2))
        base //= 2
    while base < stride:
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True))
        base *= 2
    return nn.Sequential(*layers)
