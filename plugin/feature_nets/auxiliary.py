"""Auxiliary classifiers of GoogLeNet (arXiv 1409.4842, sec. 5) and Inception v3 (arXiv 1512.00567, sec. 4).

Each reads a map in the middle of the network and returns logits. Here they are extra outputs behind the
maps, for an auxiliary head to compute a loss on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from ..catalog.spec import Spec
from ..errors import InputError
from ..sources import FeatureNet


@dataclass(frozen=True)
class Auxiliary:
    """One auxiliary classifier.

    Attributes:
        name: The upstream's name for it, under which its parameters are.
        step: The step whose map it reads.
        channels: Of that map.
        module: Where the function is that builds it.
        builder: The function: takes the channels and the number of classes.
        least: The fewest cells in height and width that it can read.
    """

    name: str
    step: str
    channels: int
    module: str
    builder: str = "InceptionAux"
    least: int = 1


#: Source and upstream's name -> its auxiliary classifiers; all read maps of stride 16.
AUXILIARY: dict[tuple[str, str], tuple[Auxiliary, ...]] = {
    ("torchvision", "googlenet"): (
        Auxiliary("aux1", "inception4a", 512, "torchvision.models.googlenet"),
        Auxiliary("aux2", "inception4d", 528, "torchvision.models.googlenet"),
    ),
    ("native", "googlenet.googlenet_original"): (
        Auxiliary("aux1", "inception4a", 512, "mmbackbones.native.googlenet", "auxiliary"),
        Auxiliary("aux2", "inception4d", 528, "mmbackbones.native.googlenet", "auxiliary"),
    ),
    ("torchvision", "inception_v3"): (
        Auxiliary("AuxLogits", "Mixed_6e", 768, "torchvision.models.inception", least=17),
    ),
    ("timm", "inception_v3"): (  # the same layers and names as torchvision's
        Auxiliary("AuxLogits", "Mixed_6e", 768, "torchvision.models.inception", least=17),
    ),
}
STRIDE = 16


def auxiliaries(spec: Spec, num_classes: int | None, strides: tuple[int, ...]) -> tuple[Auxiliary, ...]:
    """The auxiliary classifiers of ``spec``; none if ``num_classes`` is None.

    Raises:
        InputError: the network has none, or they read a map behind the last of ``strides``.
    """
    if num_classes is None:
        return ()
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise InputError(f"aux_classes={num_classes!r} must be a whole number of at least 1, or None.")
    upstream = spec.upstream.partition(".")[0] if spec.source == "timm" else spec.upstream
    found = AUXILIARY.get((spec.source, upstream))
    if not found:
        raise InputError(
            f"aux_classes={num_classes}: '{spec.name}' has no auxiliary classifiers. Those that have: "
            f"googlenet, googlenet_original, inception_v3."
        )
    if strides[-1] < STRIDE:
        raise InputError(
            f"aux_classes={num_classes}: the auxiliary classifiers read maps of stride {STRIDE}, behind the "
            f"last of out_strides={strides}. Ask for stride {STRIDE} (C4) or {2 * STRIDE} (C5) too."
        )
    return found


class Readers:
    """The auxiliary classifiers of one network, at their taps.

    Args:
        feature_net: The network; each classifier becomes its child, under the upstream's name.
        rows: From :func:`auxiliaries`.
        num_classes: Of the logits.
    """

    def __init__(self, feature_net: FeatureNet, rows: tuple[Auxiliary, ...], num_classes: int) -> None:
        self.rows = rows
        self.names = tuple(row.name for row in rows)
        self.taps = tuple(_tap(feature_net, row.step) for row in rows)
        for row in rows:
            build: Callable[..., nn.Module] = getattr(import_module(row.module), row.builder)
            setattr(feature_net.net, row.name, build(row.channels, num_classes))

    def read(self, net: nn.Module, maps: dict[int, Tensor]) -> tuple[Tensor, ...]:
        """Logits (N, classes) of each classifier from the maps by tap.

        Raises:
            InputError: the image is too small.
        """
        logits = []
        for row, tap in zip(self.rows, self.taps, strict=True):
            cells = min(maps[tap].shape[-2:])
            if cells < row.least:
                raise InputError(
                    f"{row.name} reads a map of at least {row.least} x {row.least} cells, got "
                    f"{tuple(maps[tap].shape[-2:])}. Give images of at least {STRIDE * (row.least - 1) + 1} "
                    f"pixels in height and width, or set aux_classes=None."
                )
            logits.append(net.get_submodule(row.name)(maps[tap]))
        return tuple(logits)


def _tap(feature_net: FeatureNet, step: str) -> int:
    """The tap behind ``step``, a submodule's path: of a chain, or as timm's networks list them."""
    net: Any = feature_net.net
    steps = getattr(feature_net, "steps", None) or [info["module"] for info in net.feature_info]
    return list(steps).index(step)
