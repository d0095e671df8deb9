"""What is frozen: by stage or by a fraction of the weight layers, for any network."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ..tracing.stages import places
from ..tracing.trace import Trace


def frozen_names(stages: dict[str, int], frozen_stages: int) -> set[str]:
    """Names of the parameters of the stem and the first ``frozen_stages`` stages."""
    return {name for name, stage in stages.items() if stage <= frozen_stages}


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


def names_to_freeze(
    net: nn.Module, trace: Trace, stages: dict[str, int], frozen_stages: int, fraction: float | None
) -> set[str]:
    """Names of the parameters that do not train, by the ``fraction`` if there is one, else by stage."""
    return frozen_names(stages, frozen_stages) if fraction is None else first_names(net, trace, fraction)


def hold_in_eval(net: nn.Module, paths: Iterable[str], norm_eval: bool) -> None:
    """Put the modules at ``paths`` into eval mode, and all batch norms if ``norm_eval``.

    The empty path means all children of ``net``, which itself says that it trains.
    """
    for path in paths:
        for module in [net.get_submodule(path)] if path else net.children():
            module.eval()
    if norm_eval:
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def frozen_module_paths(net: nn.Module, trace: Trace, frozen: Iterable[str]) -> list[str]:
    """Paths of the modules that stay in eval mode when the parameters ``frozen`` do not train.

    These are all modules whose parameters are frozen without exception, and among the modules
    without parameters (drop-out, stochastic depth) those called while the last weights were frozen
    ones.
    """
    frozen = set(frozen)
    if not frozen:
        return []
    modules = dict(net.named_modules())
    paths = []
    for path, module in modules.items():
        names = [f"{path}.{name}" if path else name for name, _ in module.named_parameters()]
        if names and frozen.issuperset(names):
            paths.append(path)
    last_frozen = False
    for path in trace.order:
        if path not in modules:  # cut, with what it was in
            continue
        own = [f"{path}.{name}" for name, _ in modules[path].named_parameters()]
        if own:
            last_frozen = frozen.issuperset(own)
        elif last_frozen:
            paths.append(path)
    return paths
