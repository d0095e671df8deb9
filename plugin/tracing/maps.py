"""Finds the last map of each stride in a network that nobody has described.

The network runs once on the meta device, and every call of a module is noted with what it got and gave. A map
counts where it is handed on between parts of the network, not inside a block: a module that keeps the stride
is one step, and so is one that halves the map, with what stands in it before (the wide layer of an inverted
residual, the first convolution of a bottleneck). An ``nn.Sequential`` is opened, and so is a module that
divides the sides by four or more, or that reduces behind most of its weight layers (a stage with its pool at
the end); in them maps count from the first weight layer on. What the network itself returns goes first, if it
is a dict or list of maps. Behind the coarsest map, finer ones do not count: they are a decoder's. Nor does
what no pixel changes (position embeddings), nor what a child called as a classifier gives.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, nearest
from ..sources.hooked import HookedNet, Place, first_map, returned_maps
from ..weights.loading import CLASSIFIERS
from .norms import is_norm
from .trace import EVEN_SIZES, meta_copy

#: Coarser maps than this are pooled features and gates.
COARSEST = 64
#: Height and width of the images that are tried: multiples of 64 and of most windows. No pool to a fixed
#: number of cells gives a map of a stride in both directions.
SIZES = ((1344, 1792), (1280, 1536), *EVEN_SIZES[::-1])


@dataclass
class Call:
    """One call of a module: what it got and gave, and the calls inside it."""

    path: str
    number: int
    module: nn.Module
    before: Tensor | None = None
    flat: bool = False  # whether it got a vector for each image
    after: Tensor | None = None
    inside: list[Call] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """A map and where it is."""

    place: Place
    stride: int
    channels: int
    value: Tensor = field(compare=False)


@dataclass(frozen=True)
class Seen:
    """One run of a network.

    Attributes:
        size: Height and width of the image.
        root: The call of the network itself.
        out: What it returned.
    """

    size: tuple[int, int]
    root: Call
    out: Any

    def level(self, fmap: Tensor | None) -> tuple[int, bool] | None:
        """Stride of a map, and whether it is NHWC; None if it is no map of a power-of-two stride."""
        for last in (False, True) if fmap is not None else ():
            cells = tuple(fmap.shape[1:3] if last else fmap.shape[2:])  # type: ignore[union-attr]
            for power in range(COARSEST.bit_length()):
                if cells == tuple(math.ceil(side / 2**power) for side in self.size):
                    return 2**power, last
        return None

    def stride(self, fmap: Tensor | None) -> int | None:
        """Stride of a map; None if it is no map of a power-of-two stride."""
        level = self.level(fmap)
        return level[0] if level else None


def look(net: nn.Module, in_channels: int, *, training: bool = False) -> Seen:
    """Run a copy of ``net`` on the meta device and note all calls, up to a classifier that refuses the size.

    Raises:
        InputError: it ran at no tried size.
    """
    failure: Exception | None = None
    for size in SIZES:
        copied = meta_copy(HookedNet(net, ())).net
        copied.train(training)  # OpenMMLab's classes return None
        try:
            root, out = _record(copied, torch.empty(2, in_channels, *size, device="meta"))
        except Exception as error:  # networks refuse a size in many ways: AssertionError, RuntimeError ...
            failure = failure or error
            continue
        return Seen(size, root, out)
    raise InputError(
        f"it runs at none of {', '.join(f'{high}x{wide}' for high, wide in SIZES)} pixels "
        f"({type(failure).__name__}: {failure}). A backbone takes images of any size: "
        f"let what depends on the image's size (position tables, views) follow it."
    ) from failure


def _record(net: nn.Module, image: Tensor) -> tuple[Call, Any]:
    root = Call("", 0, net)
    stack, counts = [root], Counter[str]()

    def entering(path: str) -> Any:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            flat = bool(args) and isinstance(args[0], Tensor) and args[0].ndim == 2
            call = Call(path, counts[path], module, _of_image([*args, *kwargs.values()]), flat)
            counts[path] += 1
            stack[-1].inside.append(call)
            stack.append(call)

        return enter

    def leave(module: nn.Module, args: Any, out: Any) -> None:
        stack.pop().after = _of_image(out)

    for path, module in net.named_modules():
        if path:
            module.register_forward_pre_hook(entering(path), with_kwargs=True)
            module.register_forward_hook(leave)
    net.requires_grad_(False)
    with torch.inference_mode(False), torch.enable_grad():
        try:
            return root, net(image.requires_grad_() * 1)  # what depends on the image has a gradient
        except RuntimeError:
            if stack[-1].flat and isinstance(stack[-1].module, nn.Linear):
                return root, None  # a classifier for one size, behind all maps
            raise


def _of_image(value: Any) -> Tensor | None:
    """The map in ``value`` if it depends on the image."""
    fmap = first_map(value)
    return fmap if fmap is not None and fmap.requires_grad else None


def last_maps(seen: Seen) -> dict[int, Found]:
    """The last map of each stride, fine to coarse."""
    best: dict[int, Found] = {}
    returned = dict(_returned(seen))
    for found in (*_handed_on(seen.root, seen), *(returned.values() if len(returned) == 1 else ())):
        if found.stride >= max(best, default=1):
            before = best.get(found.stride)
            if before is None or before.value is not found.value or not found.place.inward:
                best[found.stride] = found
    if len(returned) > 1:
        best |= returned
    return dict(sorted(best.items()))


def _returned(seen: Seen) -> Iterator[tuple[int, Found]]:
    """The maps that the network returns by stride, by the module that made them where there is one."""
    made: dict[int, Place] = {}
    for call in _calls(seen.root):
        if call.after is not None:
            level = seen.level(call.after)
            last = bool(level and level[1])
            made.setdefault(id(call.after), Place(call.path, call.number, channels_last=last))
    for key, fmap in returned_maps(seen.out).items():
        level = seen.level(fmap)
        if level is not None:
            place = made.get(id(fmap), Place("", key=key, channels_last=level[1]))
            yield level[0], _found(place, level, fmap)


def _calls(call: Call) -> Iterator[Call]:
    """All calls inside ``call``, outer before inner."""
    for child in call.inside:
        yield child
        yield from _calls(child)


def _found(place: Place, level: tuple[int, bool], fmap: Tensor) -> Found:
    return Found(place, level[0], fmap.shape[3 if level[1] else 1], fmap)


def _handed_on(call: Call, seen: Seen) -> Iterator[Found]:
    """The maps that the calls inside ``call`` get and give, in order."""
    begun = not call.path
    for child in call.inside:
        if not call.path and child.path in CLASSIFIERS:
            continue
        before, after = seen.level(child.before), seen.level(child.after)
        if before and child.before is not None and begun:
            place = Place(child.path, child.number, inward=True, channels_last=before[1])
            yield _found(place, before, child.before)
        if _opened(child, seen):
            yield from _handed_on(child, seen)
        begun |= weight_layers(child) > 0
        if begun and after and child.after is not None:
            yield _found(Place(child.path, child.number, channels_last=after[1]), after, child.after)


def _opened(call: Call, seen: Seen) -> bool:
    """Whether maps inside a call count."""
    before, after = seen.stride(call.before), seen.stride(call.after)
    if after is None:
        return before is not None  # it returns several maps, or tokens
    if before is None or after <= before:
        return False
    plain = type(call.module).forward is nn.Sequential.forward
    return plain or after >= 4 * before or _reduces_late(call, before, seen)


def _reduces_late(call: Call, before: int, seen: Seen) -> bool:
    """Whether more than half of the weight layers of a call are done before the map is reduced."""
    leaves = [inner for inner in _calls(call) if not inner.inside]
    done = 0
    for leaf in leaves:
        strides = (seen.stride(leaf.before) or before, seen.stride(leaf.after) or before)
        if max(strides) > before:
            break
        done += _has_weights(leaf.module)
    return 2 * done > weight_layers(call)


def weight_layers(call: Call) -> int:
    """How many layers with weights, without norms, are called in a call."""
    return sum(not inner.inside and _has_weights(inner.module) for inner in (call, *_calls(call)))


def layers_up_to(seen: Seen, place: Place) -> int:
    """How many layers with weights are called before the map at ``place`` is there."""
    count = 0
    for call in _calls(seen.root):
        if (call.path, call.number) == (place.path, place.call):
            return count + (0 if place.inward else weight_layers(call))
        count += not call.inside and _has_weights(call.module)
    return count


def _has_weights(module: nn.Module) -> bool:
    return not is_norm(module) and next(module.parameters(recurse=False), None) is not None


def map_at(seen: Seen, stride: int, tap: str | int) -> Found:
    """The map of ``stride`` at a tap that the user named: a module, or a key of what ``forward`` returns.

    Raises:
        InputError: there is no such module or key, or no map of that stride.
    """
    returned = returned_maps(seen.out)
    calls = [call for call in _calls(seen.root) if call.path == tap]
    values = [call.after for call in calls] if calls else [returned[tap]] if tap in returned else []
    if not values:
        paths = [str(path) for path in dict.fromkeys(call.path for call in _calls(seen.root))]
        near = nearest(str(tap), paths)
        keys = f"; forward returns maps under {', '.join(map(repr, returned))}" if returned else ""
        raise InputError(
            f"taps={{{stride}: {tap!r}}}: no module of that path is called. Nearest: "
            f"{', '.join(near or paths[:5]) or 'none'}{keys}."
        )
    for number, value in reversed(list(enumerate(values))):
        level = seen.level(value)
        if level and level[0] == stride and value is not None:
            last = level[1]
            place = (
                Place(str(tap), number, channels_last=last)
                if calls
                else Place("", key=tap, channels_last=last)
            )
            return _found(place, level, value)
    shapes = ", ".join("no map" if value is None else str(tuple(value.shape[1:])) for value in values)
    raise InputError(
        f"taps={{{stride}: {tap!r}}}: it gives {shapes} for an image of {seen.size[0]}x{seen.size[1]}, which "
        f"is no map of stride {stride}."
    )
