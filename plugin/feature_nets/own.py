"""A user's own network as a feature net: built by its factory, its maps found by a run."""

from __future__ import annotations

import inspect
from typing import Any

from mmengine.logging import print_log
from torch import nn
from torch.nn.parameter import is_lazy

from ..catalog.own import Own, own_net
from ..errors import InputError
from ..sources.first_conv import replace_first_conv
from ..sources.hooked import HookedNet, Place, first_map, returned_maps
from ..surgery.padding import repair_padding
from ..surgery.pools import pools_as_modules
from ..tracing.maps import Found, Seen, last_maps, layers_up_to, look, map_at, weight_layers
from ..tracing.trace import meta_copy

_CHANNELS = ("in_channels", "in_chans")
#: The least share of the layers with weights that come before the last map: LeNet-5 has two of five there.
_LEAST_BEFORE = 0.25
#: Where the maps of a network are, by all that this depends on.
_PLACES: dict[tuple[object, ...], dict[int, Place]] = {}
#: Shapes of their parameters and buffers, likewise.
_SHAPES: dict[tuple[object, ...], dict[str, tuple[int, ...]]] = {}


def known_own(name: str) -> Own:
    """The network registered as ``name``.

    Raises:
        InputError: there is none.
    """
    own = own_net(name)
    if own is None:
        raise InputError(f"No network was registered as '{name}': see mmbackbones.register_backbone.")
    return own


def open_own(name: str, in_channels: int, net_kwargs: dict[str, Any]) -> HookedNet:
    """Build the network registered as ``name``, and find its maps, which the log names the first time.

    Raises:
        InputError: the factory refuses ``net_kwargs`` or gives no module, or the network has no maps of
            power-of-two strides, or others in ``train()`` than in ``eval()``.
    """
    own = known_own(name)
    net = _built(own, in_channels, net_kwargs)
    pools_as_modules(net)
    key = (own, in_channels, repr(sorted(net_kwargs.items())))
    if key not in _PLACES:
        try:
            _PLACES[key] = places_of(own, net, in_channels)
        except InputError as error:
            raise InputError(f"'{name}': {error}") from error
        print_log(f"{name}: maps are read at {says(_PLACES[key])}", logger="current")
    _check_same(name, key, net)
    return HookedNet(net, list(_PLACES[key].values()))


def _check_same(name: str, key: tuple[object, ...], net: nn.Module) -> None:
    """Raises InputError where a factory builds another network than it did the first time."""
    now = {path: tuple(value.shape) for path, value in net.state_dict().items()}
    first = _SHAPES.setdefault(key, now)
    if now != first:
        there, here = (
            next((f"{path} {shape}" for path, shape in one.items() if other.get(path) != shape), "no more")
            for one, other in ((first, now), (now, first))
        )
        raise InputError(
            f"'{name}': its factory built a network with {there} first, and with {here} now. Let it build "
            f"the same each time, under the same names."
        )


def taps_of(name: str) -> dict[int, Place]:
    """Where the maps of the network registered as ``name`` are read, by stride."""
    own = known_own(name)
    open_own(name, 3, {})
    return _PLACES[own, 3, "[]"]


def says(places: dict[int, Place]) -> str:
    """Which module the map of each stride comes from."""
    return ", ".join(f"stride {stride}: {place}" for stride, place in places.items())


def _built(own: Own, in_channels: int, net_kwargs: dict[str, Any]) -> nn.Module:
    taken = inspect.signature(own.factory).parameters
    word = next((word for word in _CHANNELS if word in taken), None)
    arguments = {**({word: in_channels} if word else {}), **net_kwargs}
    try:
        inspect.signature(own.factory).bind(**arguments)
    except TypeError as error:
        raise InputError(f"The factory of '{own.name}' refuses net_kwargs={net_kwargs}: {error}.") from error
    net = own.factory(**arguments)
    if not isinstance(net, nn.Module):
        raise InputError(
            f"The factory of '{own.name}' gave a {type(net).__name__}; it must give an nn.Module."
        )
    lazy = [name for name, param in net.named_parameters() if is_lazy(param)]
    if lazy:
        raise InputError(
            f"The factory of '{own.name}' left '{lazy[0]}' without a shape. Lazy modules take theirs from a "
            f"first image: give them their channels."
        )
    if word is None and in_channels != len(own.facts["mean"]):
        replace_first_conv(net, in_channels)
    return net


def places_of(own: Own, net: nn.Module, in_channels: int) -> dict[int, Place]:
    """Where the last map of each stride is, or what ``taps`` says; the same in ``train()`` and ``eval()``.

    Raises:
        InputError: see :func:`open_own`.
    """
    seen = look(net, in_channels)
    found = last_maps(seen)
    padded = meta_copy(HookedNet(net, ())).net
    if repair_padding(padded):
        repaired = look(padded, in_channels)
        if len(last_maps(repaired)) > len(found):
            net, seen, found = padded, repaired, last_maps(repaired)
    found |= {stride: map_at(seen, stride, tap) for stride, tap in own.taps.items()}
    found = {stride: each for stride, each in sorted(found.items()) if stride > 1}
    if not found:
        raise _no_maps(seen)
    _check_depth(seen, found, own)
    trained = look(net, in_channels, training=True)
    others = last_maps(trained) | {stride: map_at(trained, stride, tap) for stride, tap in own.taps.items()}
    changed = [stride for stride, each in found.items() if others.get(stride) != each]
    if changed:
        raise InputError(
            f"in train() the map of stride {changed[0]} is {_where(others.get(changed[0]))}, in eval() "
            f"{_where(found[changed[0]])}: forward returns {_kind(trained.out)} in the one, "
            f"{_kind(seen.out)} in the other. Let forward do the same in both, or say where the maps are, as "
            f"taps={{{changed[0]}: '<module>'}}."
        )
    return {stride: each.place for stride, each in found.items()}


def _check_depth(seen: Seen, found: dict[int, Found], own: Own) -> None:
    """Raises InputError where nearly all of the network works behind its last map, on tokens perhaps."""
    last = max(found)
    layers, done = weight_layers(seen.root), layers_up_to(seen, found[last].place)
    if last not in own.taps and done < _LEAST_BEFORE * layers:
        raise InputError(
            f"its last map is {found[last].place}, of stride {last}, behind {done} of its {layers} layers "
            f"with weights; the others work on what is no map of a power-of-two stride, as a transformer's "
            f"tokens. Put these back into rows and columns, (N, C, H, W) or (N, H, W, C), by a module or in "
            f"what forward returns; or say taps={{{last}: {found[last].place.path!r}}} if that map is meant."
        )


def _where(found: Found | None) -> str:
    return "missing" if found is None else f"that of {found.place} with {found.channels} channels"


def _kind(out: Any) -> str:
    maps = returned_maps(out)
    return f"a {type(out).__name__}" + (f" with {len(maps)} maps" if maps else "")


def _no_maps(seen: Seen) -> InputError:
    """The error for a network without maps of power-of-two strides; it says what its modules give."""
    high, wide = seen.size
    maps = [call.after for call in seen.root.inside if call.after is not None]
    other = first_map([*returned_maps(seen.out).values(), *maps])
    if other is None:
        return InputError(
            f"it has no maps: for an image of {high}x{wide} no module of it gives a tensor of four "
            f"dimensions. A backbone's modules hand on maps (N, C, H, W) or (N, H, W, C); a transformer's "
            f"tokens have to be put back into rows and columns, by a module or in what forward returns."
        )
    strides = sorted({high / fmap.shape[2] for fmap in maps} or {high / other.shape[2]})
    return InputError(
        f"its maps have no strides that are powers of two: for an image of {high}x{wide} they are at strides "
        f"{', '.join(f'{stride:.3g}' for stride in strides)}. Use strides of 2, and pad windows by half "
        f"their size."
    )
