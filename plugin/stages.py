"""Which stage each parameter belongs to, and freezing by stage, for any network.

Stage k ends at the map C(k+1), stride ``2 ** (k + 1)``: a parameter belongs to the first of the maps
C2..C5 whose value depends on it. The stem, stage 0, is what comes first in stage 1: the first unit
with weights (a convolution, a patch embedding) with the normalisation right behind it, and the
parameters that hang on no layer (position embedding, class token).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from . import pyramid
from .errors import InputError
from .sources import Tapped
from .trace import Trace, meta_twin

STAGES = 4
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def is_norm(module: nn.Module) -> bool:
    """Whether ``module`` normalises: batch, layer, group, instance or RMS norm, of any library."""
    kinds = (_NormBase, nn.LayerNorm, nn.GroupNorm)
    return isinstance(module, kinds) or "norm" in type(module).__name__.lower()


def stage_of_params(net: nn.Module, trace: Trace) -> dict[str, int]:
    """Stage (0 the stem, 1..4) of each parameter that any map of ``trace`` depends on."""
    stages: dict[str, int] = {}
    for stride, names in trace.reach.items():
        stage = min(STAGES, max(1, stride.bit_length() - 2))  # stride 1, 2, 4 -> 1; 8 -> 2; 16 -> 3
        stages.update(dict.fromkeys(names, stage))
    stem = _stem(net, trace, stages)
    return {name: 0 if name in stem else stage for name, stage in stages.items()}


def _stem(net: nn.Module, trace: Trace, stages: dict[str, int]) -> set[str]:
    """Names of the parameters of the first unit, its norms, and of no unit at all."""
    called = {name: index for index, name in enumerate(trace.order)}
    first_stage = min(stages.values(), default=1)
    units = list(_units(net, "", stages, first_stage))

    def first_call(unit: tuple[str, nn.Module]) -> int:
        path, module = unit
        inside = [f"{path}.{name}" if name else path for name, _ in module.named_modules()]
        return min((called[name] for name in inside if name in called), default=len(called))

    units.sort(key=first_call)
    held = {f"{path}.{name}" for path, unit in units for name, _ in unit.named_parameters()}
    bare = {name for name, stage in stages.items() if stage == first_stage and name not in held}
    first = [name for path, module in _head_of(units) for name in _names(path, module)]
    return (bare | set(first)) & stages.keys()


def _head_of(units: list[tuple[str, nn.Module]]) -> Iterator[tuple[str, nn.Module]]:
    """The first unit and the pure normalisation units right behind it."""
    for index, (path, unit) in enumerate(units):
        owners = [m for m in unit.modules() if next(m.parameters(recurse=False), None) is not None]
        if index and not all(is_norm(owner) for owner in owners):
            return
        yield path, unit


def _names(path: str, module: nn.Module) -> list[str]:
    return [f"{path}.{name}" for name, _ in module.named_parameters()]


def _units(
    module: nn.Module, path: str, stages: dict[str, int], first: int
) -> Iterator[tuple[str, nn.Module]]:
    """The largest submodules that lie in the first stage alone; a module across stages is opened.

    A bare ``nn.ModuleList`` is opened too: it has no forward of its own.
    """
    for name, child in module.named_children():
        where = f"{path}.{name}" if path else name
        inside = {stages[param] for param in _names(where, child) if param in stages}
        if inside == {first} and type(child) is not nn.ModuleList:
            yield where, child
        elif first in inside:
            yield from _units(child, where, stages, first)


def check_frozen_stages(frozen_stages: int) -> None:
    """Raises InputError unless ``frozen_stages`` is -1, 0, 1, ... 4."""
    if isinstance(frozen_stages, bool) or frozen_stages not in range(-1, STAGES + 1):
        raise InputError(
            f"frozen_stages={frozen_stages!r} is out of range. Allowed: -1 (nothing), 0 (the stem), "
            f"1 to {STAGES} (the stem and that many stages)."
        )


def frozen_names(stages: dict[str, int], frozen_stages: int) -> set[str]:
    """Names of the parameters of the stem and the first ``frozen_stages`` stages."""
    return {name for name, stage in stages.items() if stage <= frozen_stages}


def check_frozen_fraction(fraction: float | None, frozen_stages: int) -> None:
    """Raises InputError unless ``fraction`` is None or in [0, 1], and the only way of freezing."""
    if fraction is None:
        return
    number = isinstance(fraction, (int, float)) and not isinstance(fraction, bool)
    if not number or not 0 <= fraction <= 1:
        raise InputError(
            f"frozen_fraction={fraction!r} is out of range. Allowed: 0 (nothing) to 1 (all weight layers), "
            f"as 1/3 for the first third."
        )
    if frozen_stages != -1:
        raise InputError(
            f"frozen_stages={frozen_stages} and frozen_fraction={fraction} both say where freezing ends. "
            f"Give one of them."
        )


def first_names(net: nn.Module, trace: Trace, fraction: float) -> set[str]:
    """Names of the parameters up to the first ``fraction`` of the weight layers, in order of execution.

    Weight layers are convolutions and linear layers; what is executed between two of them goes with the
    earlier one. The number of frozen layers is rounded down.
    """
    place_of = places(trace)
    kinds = (_ConvNd, nn.Linear)
    starts = sorted(
        place_of[f"{path}.weight"]
        for path, module in net.named_modules()
        if isinstance(module, kinds) and f"{path}.weight" in place_of
    )
    count = math.floor(len(starts) * fraction + 1e-6)  # 1/3 of 120 layers is 40, whatever the rounding
    if count == len(starts):
        return set(place_of)
    return {name for name, place in place_of.items() if place < starts[count]} if count else set()


def places(trace: Trace) -> dict[str, int]:
    """Place in ``trace.order`` of each parameter behind a map, the plain ViT's own pyramid left out.

    A parameter that hangs on no called layer (class token, table of position biases) stands where the
    first layer of the module that holds it stands.
    """
    first: dict[str, int] = {}
    for place, path in enumerate(trace.order):
        parts = path.split(".")
        for length in range(len(parts) + 1):
            first.setdefault(".".join(parts[:length]), place)
    found = {}
    for name in trace.needed:
        if name.startswith(f"{pyramid.NAME}."):
            continue
        owner = name.rpartition(".")[0]
        while owner not in first:
            owner = owner.rpartition(".")[0]
        found[name] = first[owner]
    return found


def still_paths(net: nn.Module, trace: Trace, frozen: Iterable[str]) -> list[str]:
    """Paths of the modules that stay in eval mode when the parameters ``frozen`` do not train.

    These are all modules whose parameters are frozen without exception, and among the modules
    without parameters (drop-out, stochastic depth) those called while the last weights were frozen
    ones.
    """
    frozen = set(frozen)
    if not frozen:
        return []
    modules = dict(net.named_modules())
    still = []
    for path, module in modules.items():
        names = [f"{path}.{name}" if path else name for name, _ in module.named_parameters()]
        if names and frozen.issuperset(names):
            still.append(path)
    last_frozen = False
    for path in trace.order:
        if path not in modules:  # cut, with what it was in
            continue
        own = [f"{path}.{name}" for name, _ in modules[path].named_parameters()]
        if own:
            last_frozen = frozen.issuperset(own)
        elif last_frozen:
            still.append(path)
    return still


def prune(tapped: Tapped, asked: Trace, in_channels: int) -> None:
    """Take out of the network, in place, what the asked maps do not depend on.

    A module that is not called becomes ``nn.Identity`` (indices of containers stay), and so does one
    that is called behind the last map, as GhostNet's head, if the maps can be had without it. What is
    computed in between but reaches no asked map, as some branches of HRNet, remains.
    """
    called = set(asked.order)
    tail = _tail(tapped.net, asked)
    if tail:
        twin = meta_twin(tapped)
        _prune_children(twin.net, _alive(twin.net, asked.needed, called - tail))
        if _runs(twin, asked, in_channels):
            called -= tail
            for path in tail:  # what was taken out made a copy; nothing may write into the map instead
                module: Any = tapped.net.get_submodule(path)
                if getattr(module, "inplace", False):
                    module.inplace = False
    _prune_children(tapped.net, _alive(tapped.net, asked.needed, called))


def _tail(net: nn.Module, asked: Trace) -> set[str]:
    """Modules called after the last one whose parameters are needed, if any has parameters."""
    owners = {name.rpartition(".")[0] for name in asked.needed}
    last = max((index for index, path in enumerate(asked.order) if path in owners), default=-1)
    tail = asked.order[last + 1 :]
    weighted = any(next(net.get_submodule(path).parameters(), None) is not None for path in tail)
    return set(tail) if weighted else set()


def _runs(twin: Tapped, asked: Trace, in_channels: int) -> bool:
    """Whether the twin still gives maps of the asked channels."""
    image = torch.empty(1, in_channels, *asked.size, device="meta")
    try:
        maps = twin.run(image, list(asked.taps.values()))
    except (RuntimeError, AttributeError, TypeError):  # a branch that others read was taken out
        return False
    return [fmap.shape[1] for fmap in maps] == list(asked.channels.values())


def _prune_children(module: nn.Module, alive: set[int]) -> None:
    for name, child in list(module.named_children()):
        inside = [*child.modules(), *child.parameters()]
        weighted = next(child.parameters(), None) is not None
        container = isinstance(child, CONTAINERS)  # upstreams slice and iterate these: they stay
        if weighted and not container and alive.isdisjoint(map(id, inside)):
            setattr(module, name, nn.Identity())
        else:
            _prune_children(child, alive)


def _alive(net: nn.Module, needed: frozenset[str], called: set[str]) -> set[int]:
    """Ids of the parameters and modules that stay. Not their names: CoaT has one module in two places."""
    params = [param for name, param in net.named_parameters() if name in needed]
    return {id(kept) for kept in [*params, *(net.get_submodule(path) for path in called)]}
