"""A network whose maps are read where its modules hand them on, by hooks: that of a user, of any form."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError


@dataclass(frozen=True)
class Place:
    """Where a map is read.

    Attributes:
        path: Of a module; empty for the network itself.
        call: Which call of the module in a forward pass, from 0.
        inward: Whether it is what the module gets, not what it gives.
        key: Of the dict or list that the network returns; None where a module's map is read.
        channels_last: Whether the map is NHWC there.
    """

    path: str
    call: int = 0
    inward: bool = False
    key: str | int | None = None
    channels_last: bool = False

    def __str__(self) -> str:
        if not self.path:
            return "output" if self.key is None else f"output[{self.key!r}]"
        text = f"the input of {self.path}" if self.inward else self.path
        return f"{text}, call {self.call + 1}" if self.call else text


def first_map(value: Any) -> Tensor | None:
    """The map (4 dimensions) that a module gets or gives: ``value``, or the first in a tuple or list."""
    if isinstance(value, Tensor):
        return value if value.ndim == 4 else None
    if isinstance(value, (tuple, list)):
        return next((part for part in value if isinstance(part, Tensor) and part.ndim == 4), None)
    return None


def returned_maps(value: Any) -> dict[str | int | None, Tensor]:
    """The maps that a network returns by key or index; a lone one under None."""
    if isinstance(value, Tensor):
        value = {None: value}
    elif isinstance(value, (tuple, list)):
        value = dict(enumerate(value))
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {key: part for key, part in pairs if isinstance(part, Tensor) and part.ndim == 4}


class _StopError(Exception):
    """All maps are there: what the network would compute behind them is not needed."""


class _Pass:
    """One forward pass: the places that are still to come, and the maps that were met."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.wanted = {(place.path, place.inward, place.call): place for place in places if place.path}
        self.stops = all(place.path for place in places)
        self.calls: Counter[tuple[str, bool]] = Counter()
        self.found: dict[Place, Tensor] = {}

    def meet(self, path: str, inward: bool, value: Any) -> None:
        call = self.calls[path, inward]
        self.calls[path, inward] = call + 1
        place = self.wanted.pop((path, inward, call), None)
        if place is None:
            return
        fmap = first_map(value)
        if fmap is not None:
            self.found[place] = fmap
        if self.stops and not self.wanted:
            raise _StopError


class _Hook:
    """Hands what a module gets or gives to the pass that is on. No closure, so copies have their own."""

    def __init__(self, passes: dict[int, _Pass], path: str, inward: bool) -> None:
        self.passes, self.path, self.inward = passes, path, inward

    def __call__(self, module: nn.Module, inputs: Any, *output: Any) -> None:
        on = self.passes.get(_thread())
        if on is not None:  # else somebody else runs it: a checkpoint that computes again
            on.meet(self.path, self.inward, output[0] if output else inputs)


def _thread() -> int:
    """Replicas of one network run in threads of their own."""
    return 0 if torch.compiler.is_compiling() else threading.get_ident()


class HookedNet:
    """See :class:`mmbackbones.sources.FeatureNet`; one tap for each of ``places``.

    Args:
        net: The network, as its author wrote it.
        places: Where its maps are read, by rising stride.
        classifier: Prefixes of parameter names that belong to the classifier.
    """

    def __init__(self, net: nn.Module, places: Sequence[Place], classifier: tuple[str, ...] = ()) -> None:
        self.net, self.places, self.classifier = net, tuple(places), classifier
        self.taps = len(self.places)
        self._passes: dict[int, _Pass] = {}
        at = dict.fromkeys((place.path, place.inward) for place in self.places if place.path)
        self._hooks = {(path, inward): _Hook(self._passes, path, inward) for path, inward in at}

    def hang(self, taps: Sequence[int]) -> None:
        """The hook of each tap, at the module that is there now: norms and pools are replaced by others.

        While a program is traced no hook can be hung, so :meth:`run` does it only in passes before.
        """
        for place in (self.places[tap] for tap in taps):
            if place.path:
                hook, module = self._hooks[place.path, place.inward], self.net.get_submodule(place.path)
                held = module._forward_pre_hooks if place.inward else module._forward_hooks
                if hook not in held.values():
                    kind = "forward_pre_hook" if place.inward else "forward_hook"
                    getattr(module, f"register_{kind}")(hook)

    def run(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """See :class:`mmbackbones.sources.FeatureNet`.

        Raises:
            InputError: ``forward`` does not come by one of the places in this pass.
        """
        places = [self.places[tap] for tap in taps]
        if not torch.compiler.is_compiling():
            self.hang(taps)
        thread = _thread()
        on = self._passes[thread] = _Pass(places)
        try:
            out = returned_maps(self.net(x))
        except _StopError:
            out = {}
        finally:
            del self._passes[thread]
        maps = []
        for place in places:
            fmap = on.found.get(place) if place.path else out.get(place.key)
            if fmap is None:
                raise InputError(
                    f"The map at {place} was not computed in this pass: forward does something else than it "
                    f"did when the network was traced. Let it do the same for every image, in train() and in "
                    f"eval()."
                )
            maps.append(fmap.permute(0, 3, 1, 2).contiguous() if place.channels_last else fmap)
        return maps
