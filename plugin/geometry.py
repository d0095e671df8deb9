"""Networks that are built for one image size, run at another: what depends on the size is swapped in.

What that is, no table per model says. The same network, built once more for the other size on the meta
device, differs in three ways:

* attributes (``window_size``, ``grid_size``): taken over for the duration of the run;
* buffers that hold an index or coordinates: computed anew;
* position embeddings and tables of relative position biases, which have another length: resampled,
  with gradients, so that the parameters keep their names, shapes and meaning. As long as the size is
  the one that the network was built for, nothing is swapped and the values are the upstream's own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .position_tables import NotATableError, Size, Table, table_of

#: Builds the network for an image of a size in pixels, on the meta device.
Build = Callable[[Size], nn.Module]

Place = tuple[str, str]  # path of a module, name of its attribute


@dataclass(frozen=True)
class Followers:
    """What of a network follows the image's size.

    Attributes:
        buffers: Indices and coordinates.
        tables: Parameters that are resampled.
    """

    buffers: frozenset[Place]
    tables: Mapping[Place, Table]


def followers(old: nn.Module, new: nn.Module, old_size: Size, new_size: Size) -> Followers:
    """Compare a network built for two sizes, of which one is not square.

    Raises:
        NotATableError: a weight of a layer has another shape (MLP-Mixer), or the layers are others.
    """
    buffers, tables = set(), {}
    ours = dict(old.named_modules())
    for path, theirs in new.named_modules():
        mine = ours.get(path)
        if mine is None or type(mine) is not type(theirs):
            raise NotATableError(f"'{path}' is another layer at another size")
        for name, buffer in theirs.named_buffers(recurse=False):
            if buffer.shape != getattr(mine, name).shape:
                buffers.add((path, name))
        for name, param in theirs.named_parameters(recurse=False):
            shape = getattr(mine, name).shape
            if param.shape == shape:
                continue
            if isinstance(theirs, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                raise NotATableError(f"'{path}' has weights for each cell of the map")
            tables[path, name] = table_of(name, shape, param.shape, old_size, new_size)
    return Followers(frozenset(buffers), tables)


@dataclass(frozen=True)
class Geometry:
    """What is swapped in for one size: values by place, and fresh caches."""

    size: Size
    attributes: Mapping[Place, Any]
    buffers: Mapping[Place, Tensor]
    caches: frozenset[Place]


@torch.compiler.disable
def _in_plain_mode(make: Callable[..., Geometry], *arguments: Any) -> Geometry:
    """``make(*arguments)`` in a thread of its own, where nobody exports, compiles or is in inference mode."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(make, *arguments).result()


def geometry(build: Build, old: nn.Module, size: Size, follow: Followers, device: torch.device) -> Geometry:
    """Build the network for ``size`` and note what differs from ``old``, both on the meta device."""
    new = build(size)
    attributes, caches = {}, set()
    ours = dict(old.named_modules())
    for path, theirs in new.named_modules():
        mine = vars(ours[path])
        changed = {k: v for k, v in vars(theirs).items() if _plain(k, v) and mine.get(k) != v}
        attributes.update({(path, name): value for name, value in changed.items()})
        if changed:
            caches |= {(path, k) for k, v in vars(theirs).items() if not k.startswith("_") and v == {}}
    return Geometry(size, attributes, _buffers(new, follow, device), frozenset(caches))


def _plain(name: str, value: Any) -> bool:
    """Whether an attribute is made of numbers, words and containers of them."""
    if isinstance(value, dict):  # those of torch itself, as _parameters, may be empty and seem plain
        return not name.startswith("_") and all(_plain(name, inside) for inside in value.values())
    if isinstance(value, (tuple, list)):
        return all(_plain(name, inside) for inside in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _buffers(new: nn.Module, follow: Followers, device: torch.device) -> dict[Place, Tensor]:
    """The buffers of ``new``, computed once for all modules that are alike."""
    alike: dict[object, Tensor] = {}
    found = {}
    for path, name in sorted(follow.buffers):
        module: Any = new.get_submodule(path)
        facts = sorted((k, repr(v)) for k, v in vars(module).items() if _plain(k, v))
        key = (type(module), name, str(facts))
        if key not in alike:
            for other, buffer in list(module.named_buffers(recurse=False)):
                module._buffers[other] = torch.empty_like(buffer, device="cpu")
            module.init_non_persistent_buffers()
            alike[key] = module._buffers[name].to(device)
        found[path, name] = alike[key]
    return found


class Geometries:
    """The last few geometries of one network, shared by all its copies."""

    KEPT = 8

    def __init__(self, build: Build, old_size: Size, other_size: Size) -> None:
        self.build, self.old_size = build, old_size
        self.old = build(old_size)
        self.follow = followers(self.old, build(other_size), old_size, other_size)
        self._kept: OrderedDict[tuple[Size, str], Geometry] = OrderedDict()

    def __call__(self, size: Size, device: torch.device) -> Geometry:
        """What differs at ``size``; buffers lie on ``device``."""
        key = (size, str(device))
        if key not in self._kept:
            self._kept[key] = _in_plain_mode(geometry, self.build, self.old, size, self.follow, device)
            while len(self._kept) > self.KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def swap(self, net: nn.Module, size: Size, device: torch.device) -> Swap:
        """A context in which ``net`` is a network for images of ``size``."""
        found = self(size, device)
        params = {}
        for (path, name), table in self.follow.tables.items():
            module = _module(net, path)
            if module is not None and name in module._parameters:
                params[path, name] = table.resampled(module._parameters[name], self.old_size, size)
        return Swap(net, found, params)


def _module(net: nn.Module, path: str) -> Any:
    """The submodule, or None where it was taken out of the network."""
    try:
        return net.get_submodule(path)
    except AttributeError:
        return None


#: The swaps that are in force, the innermost last.
_ACTIVE: list[Swap] = []


class Swap:
    """Puts values in place of a network's own, and its own back afterwards. Can be entered again."""

    def __init__(self, net: nn.Module, found: Geometry, params: Mapping[Place, Tensor]) -> None:
        self.entries: list[tuple[dict[str, Any], str, Any]] = []
        caches: dict[Place, Any] = {place: {} for place in found.caches}
        for kind, values in (
            ("__dict__", {**found.attributes, **caches}),
            ("_buffers", found.buffers),
            ("_parameters", params),
        ):
            for (path, name), value in values.items():
                own = getattr(_module(net, path), kind, {})
                if name not in own:  # the module was taken out of the network
                    continue
                if isinstance(value, Tensor) and value.is_floating_point():
                    value = value.to(own[name].dtype)
                self.entries.append((own, name, value))

    @contextmanager
    def __call__(self) -> Iterator[None]:
        own = [(place, name, place[name]) for place, name, _ in self.entries]
        for place, name, value in self.entries:
            place[name] = value
        _ACTIVE.append(self)
        try:
            yield
        finally:
            _ACTIVE.remove(self)
            for place, name, value in own:
                place[name] = value


def active_swaps() -> tuple[Swap, ...]:
    """The swaps in force now. What is computed again in a backward pass enters them again."""
    return tuple(_ACTIVE)
