"""Which stage each parameter belongs to, for any network.

Stage k ends at the map C(k+1), stride ``2 ** (k + 1)``: a parameter belongs to the first of the maps
C2..C5 whose value depends on it. The stem, stage 0, is what comes first in stage 1: the first unit
with weights (a convolution, a patch embedding) with the normalisation right behind it, and the
parameters that hang on no layer (position embedding, class token).
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from ..catalog.spec import STAGES
from ..sources.feature_net import PYRAMID_NAME
from .norms import is_norm
from .trace import Trace

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def stage_of_params(net: nn.Module, trace: Trace) -> dict[str, int]:
    """Stage (0 the stem, 1..4) of each parameter that any map of ``trace`` depends on."""
    stages: dict[str, int] = {}
    for stride, names in trace.params_by_stride.items():
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
        if name.startswith(f"{PYRAMID_NAME}."):
            continue
        owner = name.rpartition(".")[0]
        while owner not in first:
            owner = owner.rpartition(".")[0]
        found[name] = first[owner]
    return found
