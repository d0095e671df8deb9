"""Networks that are built for one image size, run at another: by a copy that shares the weights.

What that is, no table per model says. The same network, built once more for the other size on the meta
device, differs in three ways:

* attributes (``window_size``, ``grid_size``): taken over;
* buffers that hold an index or coordinates: computed anew;
* position embeddings and tables of relative position biases, which have another length: resampled,
  with gradients, so that the parameters keep their names, shapes and meaning.

A copy is made for each run (:mod:`.sharing`); the network itself is never changed, so that threads, replicas
and checkpoints that compute again need to know nothing of it. At the size that the network was built for
it runs itself, and the values are the upstream's own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from .position_tables import NotATableError, Size, Table, table_of
from .sharing import Tree

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
    """What a copy for one size has in place of the network's own: values by place, and fresh caches."""

    size: Size
    attributes: Mapping[Place, Any]
    buffers: Mapping[Place, Tensor]
    caches: frozenset[Place]

    @property
    def bytes(self) -> int:
        """What the buffers take; modules that are alike share one."""
        return sum({id(b): b.numel() * b.element_size() for b in self.buffers.values()}.values())


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


def is_data(value: Any) -> bool:
    """Whether ``value`` is made of numbers, words and containers of them, so that ``repr`` tells all."""
    if isinstance(value, dict):
        return all(map(is_data, value.values()))
    if isinstance(value, (tuple, list)):
        return all(map(is_data, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _plain(name: str, value: Any) -> bool:
    """Whether an attribute is data; torch's dictionaries, as ``_parameters``, may be empty and seem so."""
    return not (isinstance(value, dict) and name.startswith("_")) and is_data(value)


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
    """The geometries of one network, shared by all its copies and threads; each is made once.

    Of those whose indices take more than :data:`KEPT` bytes in all, the longest unused are forgotten.
    """

    KEPT = 2**28

    def __init__(self, build: Build, old_size: Size, other_size: Size) -> None:
        self.build, self.old_size = build, old_size
        self.old = build(old_size)
        self.follow = followers(self.old, build(other_size), old_size, other_size)
        self._kept: OrderedDict[tuple[Size, str], Geometry] = OrderedDict()
        self._lock = Lock()

    def __call__(self, size: Size, device: torch.device) -> Geometry:
        """What differs at ``size``; buffers lie on ``device``."""
        key = (size, str(device))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _in_plain_mode(geometry, self.build, self.old, size, self.follow, device)
                while len(self._kept) > 1 and sum(kept.bytes for kept in self._kept.values()) > self.KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def resized(self, net: nn.Module, size: Size, device: torch.device) -> nn.Module:
        """A network for images of ``size`` with the tensors of ``net``, which is not changed."""
        found, tree = self(size, device), Tree(net)
        for (path, name), value in {**found.attributes, **{place: {} for place in found.caches}}.items():
            tree.put(path, "", name, value)
        for (path, name), value in found.buffers.items():
            tree.put(path, "_buffers", name, value)
        for (path, name), table in self.follow.tables.items():
            param = getattr(tree.at(path), name, None)
            if param is not None:  # its module may have been taken out of the network
                tree.put(path, "_parameters", name, table.resampled(param, self.old_size, size))
        return tree.finished()
