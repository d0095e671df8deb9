"""Networks that take one image size only, or multiples of one: made to take any.

The image is padded at its right and lower border up to a size that the network takes, and the maps are
cut to ``ceil(size / stride)``. Which sizes those are is found out once for each network, by trying on
the meta device, in this order: multiples of its window, the network as it is (:mod:`.geometry`
untouched); multiples of its coarsest stride, with its position embeddings and tables of position biases
resampled; the same for squares only; and, where it has weights for each cell of the map (MLP-Mixer),
sizes up to the one that it was built for.

timm's own ``set_input_size`` is no way: four of the 17 families that need one have it, and it changes the
net in place, parameters too, so that neither two threads nor an optimizer could go on with it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ..errors import InputError
from ..sources import FeatureNet, bound_to
from ..sources.cells import ceil_div, cut
from ..sources.code import names_in_code
from ..tracing.trace import ODD_SIZE, meta_copy
from .geometry import Geometries
from .position_tables import NotATableError, Size

#: How torch calls it, by itself and within attention.
_SOFTMAX = ("softmax", "scaled_dot_product_attention")


class Blueprint:
    """What a network is built from; equal for equal networks. Builds it for other sizes.

    Args:
        source: ``timm`` or ``torchvision``.
        upstream: The network's name there.
        arguments: For the upstream's constructor.
    """

    def __init__(self, source: str, upstream: str, arguments: dict[str, Any]) -> None:
        self.source, self.upstream, self.arguments = source, upstream, arguments
        self._key = (source, upstream, repr(sorted(arguments.items())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blueprint) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def reads_beyond(self) -> bool:
        """Whether it fails at other sizes in a way that the meta device does not show."""
        from ..sources import timm

        return self.source == "timm" and timm.module_of(self.upstream.split(".")[0]) in timm.READ_BEYOND

    def may_be_fixed(self, net: nn.Module) -> bool:
        """Whether ``net`` may be built for one image size: its constructor asks for one, or it attends."""
        if self._module().free_by_flag(self.upstream):
            return False
        sized = self._module().SIZE_ARGUMENT in inspect.signature(type(net)).parameters
        return sized or any(map(_attends, {type(module) for module in net.modules()}))

    @property
    def native(self) -> Size:
        """Height and width for which the network is built."""
        return self._module().native_size(self.upstream, self.arguments)

    def build(self, size: Size) -> nn.Module:
        """The upstream's module for images of ``size``, on the meta device."""
        with torch.device("meta"):
            return self._module().build_sized(self.upstream, self.arguments, size)

    def _module(self) -> Any:
        from ..sources import timm, torchvision

        return {"timm": timm, "torchvision": torchvision}[self.source]


def _attends(kind: Any) -> bool:
    """Whether modules of that class weigh by a softmax, as all attention over cells of a map does."""
    if issubclass(kind, (nn.Softmax, nn.MultiheadAttention)):
        return True
    return not names_in_code(kind, followed=True).isdisjoint(_SOFTMAX)


@lru_cache(maxsize=64)
def geometries(blueprint: Blueprint, square: bool) -> Geometries | None:
    """How the network changes with the size; None where it cannot be built for other sizes."""
    high, wide = blueprint.native
    other = (2 * high, 2 * high) if square else (2 * high, 3 * wide)
    try:
        return Geometries(blueprint.build, (high, wide), other)
    except NotATableError:
        return None
    except Exception:  # upstreams refuse sizes in many ways: AssertionError, TypeError, RuntimeError ...
        return None


@dataclass(frozen=True)
class Plan:
    """Which sizes a network takes.

    Attributes:
        multiple: Height and width are multiples of it, in pixels.
        resized: Whether the network is changed for each size; if not, it stays as it was built.
        square: ``no``; ``tables`` where it must be built for squares but takes other images; ``image``.
        bound: The only size that it takes, if there is but one.
    """

    multiple: int
    resized: bool = False
    square: str = "no"
    bound: Size | None = None

    def canvas(self, high: int, wide: int) -> Size:
        """Height and width to which an image is padded."""
        if self.bound:
            return self.bound
        high, wide = (ceil_div(side, self.multiple) * self.multiple for side in (high, wide))
        return (max(high, wide),) * 2 if self.square == "image" else (high, wide)

    def built_for(self, canvas: Size) -> Size:
        """The size for which the network is built."""
        return (max(canvas),) * 2 if self.square == "tables" else canvas


class SizedNet:
    """A network that takes any size by a plan. See :class:`mmbackbones.sources.FeatureNet`.

    Args:
        feature_net: The network, built for one size.
        plan: Which sizes it takes.
        blueprint: What it is built from.
    """

    def __init__(self, feature_net: FeatureNet, plan: Plan, blueprint: Blueprint) -> None:
        self.inner, self.plan, self.blueprint = feature_net, plan, blueprint
        self.net, self.taps, self.classifier = feature_net.net, feature_net.taps, feature_net.classifier
        self.native = blueprint.native
        self.reductions, self.widths = (
            getattr(feature_net, "reductions", ()),
            getattr(feature_net, "widths", ()),
        )

    def run(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """Maps of an image of any size, each of ceil(size / stride) cells.

        Raises:
            InputError: the image is larger than the only size that the network takes.
        """
        high, wide = x.shape[-2:]
        canvas = (high, wide) if (high, wide) == self.native else self.plan.canvas(high, wide)
        if canvas[0] < high or canvas[1] < wide:
            raise InputError(
                f"'{self.blueprint.upstream}' got an image of {high}x{wide} and takes "
                f"{canvas[0]}x{canvas[1]} at most, the size that it is built for. If its constructor takes "
                f"an img_size, net_kwargs=dict(img_size=({high}, {wide})) builds it for a larger one."
            )
        surplus = canvas[0] - high, canvas[1] - wide
        x = F.pad(x, (0, surplus[1], 0, surplus[0]))
        maps = self._run_at(self.plan.built_for(canvas), x, taps)
        return [cut(fmap, surplus, _stride(canvas[0], fmap.shape[-2])) for fmap in maps]

    def _run_at(self, size: Size, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        if not self.plan.resized or size == self.native:
            return self.inner.run(x, taps)
        return self._run_resized(size, x, taps)

    @torch.compiler.disable  # a copy for each run would be compiled for each run
    def _run_resized(self, size: Size, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        found = geometries(self.blueprint, self.plan.square != "no")
        if found is None:
            return self.inner.run(x, taps)
        return bound_to(self.inner, found.resized(self.net, size, x.device)).run(x, taps)


def _stride(side: int, cells: int) -> int:
    """The stride of a map of ``cells``: a power of two if that can be, else a patch size."""
    power = 2 ** round(math.log2(side / cells))
    return power if math.ceil(side / power) == cells else round(side / cells)


_PLANS: dict[Blueprint, Plan | None] = {}


def any_size(feature_net: FeatureNet, blueprint: Blueprint) -> FeatureNet:
    """``feature_net`` where it takes images of any size or nothing can be done, else a :class:`SizedNet`."""
    if blueprint not in _PLANS:
        _PLANS[blueprint] = (
            None if _free(feature_net, blueprint) else next(plans(feature_net, blueprint), None)
        )
    plan = _PLANS[blueprint]
    return SizedNet(feature_net, plan, blueprint) if plan else feature_net


def _free(feature_net: FeatureNet, blueprint: Blueprint) -> bool:
    """Whether a copy runs at sizes that nobody built it for, be the maps' sizes what they may."""
    if blueprint.reads_beyond:
        return False
    if not blueprint.may_be_fixed(feature_net.net):
        return True
    strides = set(getattr(feature_net, "reductions", ()))
    patch = strides.pop() if len(strides) == 1 else 32
    copied = meta_copy(feature_net)
    return any(_run(copied, size) is not None for size in (ODD_SIZE, (5 * patch, 7 * patch)))


def plans(feature_net: FeatureNet, blueprint: Blueprint) -> Iterator[Plan]:
    """Plans that a copy of ``feature_net`` runs by, the best first."""
    native = blueprint.native
    coarsest = max(getattr(feature_net, "reductions", ()) or (32,))
    multiples = sorted({coarsest * times for times in (1, 2, 3, 4, 7, 8)} | {native[0]})
    copied = meta_copy(feature_net)

    def runs(plan: Plan) -> bool:
        smallest = plan.canvas(64, 64)
        other = plan.bound or plan.canvas(smallest[0] + 1, 2 * smallest[1] + 1)
        return all(_exact(SizedNet(copied, plan, blueprint), size) for size in (smallest, other))

    if not blueprint.reads_beyond:
        yield from filter(runs, map(Plan, multiples))
    for square in ("no", "tables", "image"):
        if geometries(blueprint, square != "no") is not None:
            yield from filter(runs, (Plan(multiple, True, square) for multiple in (coarsest, native[0])))
    yield from filter(runs, [Plan(1, bound=native)])


def _exact(sized: SizedNet, size: Size) -> bool:
    """Whether all maps of an image of ``size`` have exactly as many cells as their stride says."""
    maps = _run(sized, size)
    if maps is None:
        return False
    strides = [_stride(size[0], fmap.shape[-2]) for fmap in maps]
    cells = [tuple(math.ceil(side / stride) for side in size) for stride in strides]
    return [tuple(fmap.shape[-2:]) for fmap in maps] == cells


def _run(copied: FeatureNet, size: Size) -> list[Tensor] | None:
    """All maps of a copy on the meta device; None where it refuses the size."""
    first = next(m for m in copied.net.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    channels = first.in_channels if isinstance(first, nn.Conv2d) else 3
    try:
        with torch.inference_mode(False), torch.no_grad():
            return copied.run(torch.empty(1, channels, *size, device="meta"), range(copied.taps))
    except Exception:  # networks refuse a size in many ways: AssertionError, RuntimeError ...
        return None
