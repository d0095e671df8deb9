"""What a network does, read off one forward pass of a copy on the meta device.

No memory is allocated and nothing is computed: the copy shares the network's structure and has
meta tensors in place of its parameters. Freezing, pruning, padding, dilation and checkpointing all
read this one record, so that no table of module names per model is needed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor, nn

from .. import kept
from ..errors import InputError
from ..sources import FeatureNet
from .shapes import ShapesOnly

#: Height and width that no stride divides: only exact nets give ceil(size / stride) here.
ODD_SIZE = (99, 101)
#: Tried in this order: odd multiples of what stands before them. All strides beyond it meet odd numbers of
#: cells, so that only a network that is exact at every such multiple gives ceil(size / stride).
_ODD_MULTIPLES = {1: ODD_SIZE, 2: (98, 102), 4: (100, 108), 8: (104, 120), 16: (112, 144)}
#: Tried when a network refuses those: multiples of its coarsest stride.
EVEN_SIZES = ((128, 192), (256, 320))


@dataclass(frozen=True)
class Trace:
    """One forward pass.

    Attributes:
        size: Height and width of the input, pixels.
        taps: Tap index of each stride, the last tap of that stride, fine to coarse.
        channels: Channels of each stride's map.
        multiple: Images whose sides are multiples of it, in pixels, give ``ceil(size / stride)`` cells in
            every map; others have to be padded.
        params_by_stride: For each stride the parameters that its map depends on and no finer map does.
        order: Modules without children in order of their first call.
        reductions: For each of them the input's reduction against the image, a power of two.
        reducing: Those of them whose output is coarser than their input.
        plain: Modules with children that are called once, with a tensor first, and return a tensor.
        narrower: Records of runs for fewer maps, by their strides, as :func:`trace_for_strides` made them.
        origin: All that the record depends on, as data, where it is kept on disk.
    """

    size: tuple[int, int]
    taps: dict[int, int]
    channels: dict[int, int]
    multiple: int
    params_by_stride: dict[int, frozenset[str]]
    order: tuple[str, ...]
    reductions: dict[str, int]
    reducing: frozenset[str]
    plain: frozenset[str]
    narrower: dict[tuple[int, ...], Trace] = field(default_factory=dict, compare=False, repr=False)
    origin: str = field(default="", compare=False, repr=False)

    @property
    def needed(self) -> frozenset[str]:
        """All parameters that any of the maps depends on."""
        return frozenset().union(*self.params_by_stride.values())


def _as_data(trace: Trace) -> dict[str, Any]:
    """A record as :func:`mmbackbones.kept.fact` keeps it; sets become tuples."""
    data = {one.name: getattr(trace, one.name) for one in fields(Trace) if one.compare}
    for name, value in data.items():
        if isinstance(value, frozenset):
            data[name] = tuple(sorted(value))
    data["params_by_stride"] = {s: tuple(sorted(names)) for s, names in trace.params_by_stride.items()}
    return data


def _from_data(data: dict[str, Any], origin: str) -> Trace:
    """The record that :func:`_as_data` was given."""
    sets = {name: frozenset(data[name]) for name in ("reducing", "plain")}
    params = {stride: frozenset(names) for stride, names in data["params_by_stride"].items()}
    return Trace(**{**data, **sets, "params_by_stride": params}, origin=origin)


def meta_copy(feature_net: FeatureNet) -> FeatureNet:
    """A deep copy with meta tensors for parameters and buffers, in eval mode, nothing frozen."""
    memo: dict[int, object] = {}
    for param in feature_net.net.parameters():
        memo[id(param)] = nn.Parameter(torch.empty_like(param, device="meta"))
    for buffer in feature_net.net.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    copied = copy.deepcopy(feature_net, memo)
    copied.net.eval()
    return copied


def trace(
    feature_net: FeatureNet,
    in_channels: int,
    *,
    name: str = "network",
    size: tuple[int, int] | None = None,
    origin: str = "",
) -> Trace:
    """Run a copy of ``feature_net`` for all its maps and record what happens.

    Args:
        feature_net: The network; it is not changed.
        in_channels: Channels of the image.
        name: How messages call it.
        size: The only height and width that the network takes, if it was built for one.
        origin: All that its structure depends on beside the versions of libraries: the record is kept on
            disk by it. Empty if that cannot be said.

    Raises:
        InputError: the network ran at no tried size, or its maps have no power-of-two strides.
    """
    return _kept(origin, origin, lambda: _trace(feature_net, in_channels, name, size))


def _kept(what: object, origin: str, find: Callable[[], Trace]) -> Trace:
    """The record that ``find`` gives; from disk, where ``origin`` is known."""
    if not origin:
        return find()
    return _from_data(kept.fact("trace", what, lambda: _as_data(find())), origin)


def _trace(feature_net: FeatureNet, in_channels: int, name: str, size: tuple[int, int] | None) -> Trace:
    failures: list[Exception] = []
    sizes = [*_ODD_MULTIPLES.values(), *([size] if size else EVEN_SIZES)]
    for tried in sizes:
        try:
            found = _run(feature_net, in_channels, tried)
        except Exception as error:  # networks refuse a size in many ways: AssertionError, RuntimeError ...
            failures.append(error)
            continue
        if found is not None:
            return found
    raise _without_maps(name, sizes, failures) from (failures[-1] if failures else None)


def _without_maps(name: str, sizes: list[tuple[int, int]], failures: list[Exception]) -> InputError:
    """The error for a network that ran at no size, or at some and gave no pyramid there.

    The last of ``failures`` tells most: that size is the one that suits most networks, or this one.
    """
    tried = ", ".join(f"{high}x{wide}" for high, wide in sizes)
    said = f"{type(failures[-1]).__name__}: {failures[-1]}" if failures else ""
    if len(failures) == len(sizes):
        return InputError(
            f"'{name}' does not run: {said} (images of {tried} were tried). If your code or net_kwargs are "
            f"at fault, mend that; if a library is, try another version of it. `mmbackbones list` shows "
            f"other backbones."
        )
    refused = f", and at {len(failures)} of them it does not run ({said})" if failures else ""
    return InputError(
        f"'{name}' has no maps at strides that are powers of two: of images of {tried} their sizes are not "
        f"ceil(size / stride){refused}. `mmbackbones list` shows the backbones that do."
    )


def trace_for_strides(
    feature_net: FeatureNet, in_channels: int, every: Trace, strides: Sequence[int]
) -> Trace:
    """The record of a run that asks ``feature_net`` for the maps of ``strides`` only; made once, and kept.

    Args:
        feature_net: The network; it is not changed.
        in_channels: Channels of the image.
        every: Its record with all maps, from :func:`trace`.
        strides: Some of the strides of ``every``.
    """
    taps = {stride: tap for stride, tap in every.taps.items() if stride in strides}
    if taps == every.taps:
        return every
    key = tuple(taps)
    if key not in every.narrower:
        every.narrower[key] = _narrowed(feature_net, in_channels, every, taps)
    return every.narrower[key]


def _narrowed(feature_net: FeatureNet, in_channels: int, every: Trace, taps: dict[int, int]) -> Trace:
    def run() -> Trace:
        return cast(Trace, _run(feature_net, in_channels, every.size, taps))

    return _kept((every.origin, taps), every.origin, run)


def _run(
    feature_net: FeatureNet, in_channels: int, size: tuple[int, int], taps: dict[int, int] | None = None
) -> Trace | None:
    """The record at ``size``, with autograd on whatever mode the caller is in.

    ``taps`` are those of the asked strides; without them all taps are read, and ``None`` comes back
    when their maps are not those of powers of two.
    """
    order: list[str] = []
    reductions: dict[str, int] = {}
    reducing: set[str] = set()
    calls: dict[str, list[bool]] = {}
    with torch.inference_mode(False), torch.enable_grad():
        copied = meta_copy(feature_net)
        _watch_leaves(copied.net, size, order, reductions, reducing)
        _watch_blocks(copied.net, calls)
        read = range(copied.taps) if taps is None else list(taps.values())
        image = torch.empty(1, in_channels, *size, device="meta")
        with ShapesOnly():
            maps = dict(zip(read, copied.run(image, read), strict=True))
        taps = _taps_by_stride(maps.values(), size) if taps is None else taps
        params_by_stride = _params_by_stride(copied.net, {stride: maps[tap] for stride, tap in taps.items()})
    if not taps:
        return None
    return Trace(
        size=size,
        taps=taps,
        channels={stride: maps[tap].shape[1] for stride, tap in taps.items()},
        multiple=next((m for m, odd in _ODD_MULTIPLES.items() if odd == size), max(taps)),
        params_by_stride=params_by_stride,
        order=tuple(order),
        reductions=reductions,
        reducing=frozenset(reducing),
        plain=frozenset(name for name, plain in calls.items() if plain == [True]),
    )


def _taps_by_stride(maps: Iterable[Tensor], size: tuple[int, int]) -> dict[int, int]:
    """The last tap of each power-of-two stride whose map has exactly ceil(size / stride) cells."""
    taps: dict[int, int] = {}
    for index, fmap in enumerate(maps):
        stride = _reduction(size, fmap)
        cells = tuple(math.ceil(side / stride) for side in size)
        if tuple(fmap.shape[-2:]) != cells:
            return {}
        taps[stride] = index
    return dict(sorted(taps.items()))


def _reduction(size: tuple[int, int], fmap: Tensor) -> int:
    """The power of two nearest to image size / map size, from the height of an NCHW map."""
    return 2 ** max(0, round(math.log2(size[0] / max(1, fmap.shape[-2]))))


def _watch_leaves(
    net: nn.Module, size: tuple[int, int], order: list[str], reductions: dict[str, int], reducing: set[str]
) -> None:
    """Hook each childless module of a copy, to note its first call, and whether any call reduces the map."""

    def noter(name: str) -> object:
        def note(_: nn.Module, inputs: tuple[object, ...]) -> None:
            if name not in reductions:
                order.append(name)
                first = inputs[0] if inputs else None
                reductions[name] = _reduction(size, first) if _is_map(first) else 0

        return note

    def comparer(name: str) -> object:
        def compare(_: nn.Module, inputs: tuple[object, ...], out: object) -> None:
            first = inputs[0] if inputs else None
            if _is_map(first) and _is_map(out) and _reduction(size, out) > _reduction(size, first):
                reducing.add(name)

        return compare

    for name, module in net.named_modules():
        if not list(module.children()):
            module.register_forward_pre_hook(noter(name))
            module.register_forward_hook(comparer(name), prepend=True)  # a hook of a HookedNet may stop there


def _is_map(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.ndim == 4


def _watch_blocks(net: nn.Module, calls: dict[str, list[bool]]) -> None:
    """Hook each module with children of a copy, to note for each call whether a tensor gives a tensor."""

    def noter(name: str) -> object:
        def note(_: nn.Module, inputs: tuple[object, ...], out: object) -> None:
            tensors = [isinstance(value, Tensor) for value in inputs]
            calls.setdefault(name, []).append(tensors[:1] == [True] and isinstance(out, Tensor))

        return note

    for name, module in net.named_modules():
        if name and list(module.children()):
            module.register_forward_hook(noter(name), prepend=True)


def _params_by_stride(net: nn.Module, maps: dict[int, Tensor]) -> dict[int, frozenset[str]]:
    """Walk the autograd graph from each map, fine to coarse, to the parameters behind it."""
    names = {id(param): name for name, param in net.named_parameters()}
    seen: set[object] = set()
    params_by_stride = {}
    for stride, fmap in maps.items():
        found = set()
        todo = [fmap.grad_fn]
        while todo:
            node = todo.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            variable = getattr(node, "variable", None)
            if variable is not None and id(variable) in names:
                found.add(names[id(variable)])
            todo += [parent for parent, _ in node.next_functions]
        params_by_stride[stride] = frozenset(found)
    return params_by_stride
