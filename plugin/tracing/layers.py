"""Which layer each parameter belongs to, counted from the image, for layer-wise learning rates.

A layer is a block: a residual block, a transformer block, a dense block, an Inception module, found by
structure as for gradient checkpointing. Outside blocks each convolution or linear layer is one, with the
normalisation behind it. Layers count in order of execution, parallel branches too; the stem is layer 0.
"""

from __future__ import annotations

from itertools import groupby

from torch import nn
from torch.nn.modules.conv import _ConvNd

from .blocks import blocks
from .stages import places
from .trace import Trace


def layers_of_params(net: nn.Module, trace: Trace, stages: dict[str, int]) -> dict[str, int]:
    """Layer (0 the stem, 1, 2, ...) of each parameter that has a stage.

    A lone layer between two blocks (patch merging, a strided convolution, a transition) goes with the
    block behind it, a lone normalisation with the layer before it, as in timm's groups of Swin and ViT.

    Args:
        net: the network, after what is behind its last map was cut.
        trace: of that network.
        stages: stage of each parameter, as :func:`mmbackbones.tracing.stages.stage_of_params` has them.
    """
    held = set(blocks(net, "", trace))
    unit_at = [_unit(path, held) for path in trace.order]
    unit_of = {name: unit_at[place] for name, place in places(trace).items() if name in stages}
    own = {unit for name, unit in unit_of.items() if stages[name] > 0}
    units = [unit for unit in dict.fromkeys(unit_at) if unit in own]
    starts = {unit for unit in units if isinstance(net.get_submodule(unit), (_ConvNd, nn.Linear))}
    number = _numbered(units, held, starts)
    return {name: number[unit] if stages[name] > 0 else 0 for name, unit in unit_of.items()}


def _unit(path: str, held: set[str]) -> str:
    """The block in ``held`` around the layer ``path``, or the layer itself."""
    parts = path.split(".")
    around = (".".join(parts[:length]) for length in range(1, len(parts)))
    return next((above for above in around if above in held), path)


def _numbered(units: list[str], held: set[str], starts: set[str]) -> dict[str, int]:
    """The layer of each unit: the blocks ``held`` one by one, between them one at each of ``starts``."""
    number: dict[str, int] = {}
    last = 0
    runs = [(are_blocks, list(run)) for are_blocks, run in groupby(units, key=held.__contains__)]
    for index, (are_blocks, run) in enumerate(runs):
        opening = [unit for unit in run if are_blocks or unit in starts]
        if len(opening) == 1 and not are_blocks and 0 < index < len(runs) - 1:
            number |= dict.fromkeys(run, last + 1)  # that of the block to come
            continue
        first = last + 1 if opening else last
        for unit in run:
            last += unit in opening
            number[unit] = max(first, last)
    return number
