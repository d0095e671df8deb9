"""Whether the maps that a detector's heads get have the strides that their anchors have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import InputError

# Smaller maps are left out: rounded up to whole cells, they say too little of their stride.
_CELLS = 4


def watch_strides(network: Any) -> None:
    """Check in the first pass of a detector with one of our backbones where its anchors are.

    mmdet only counts the maps: with as many, but of other strides, all anchors are in wrong places, and the
    detector trains without a word and finds little.

    Args:
        network: a detector of mmdet; it is left as it is after its first pass.

    Raises:
        InputError: in that pass, when the strides of maps and of anchors or points differ.
    """
    from ..backbone import Backbone

    if not isinstance(getattr(network, "backbone", None), Backbone):
        return
    for name in ("rpn_head", "bbox_head"):
        head = getattr(network, name, None)
        strides = getattr(getattr(head, "prior_generator", None), "strides", None)
        if head is not None and strides:
            _Watch(name, network, head, [s[-1] if isinstance(s, Sequence) else s for s in strides])


class _Watch:
    """Hooks on a network and its head, until both have been called."""

    def __init__(self, name: str, network: nn.Module, head: nn.Module, strides: list[float]) -> None:
        self.named, self.strides, self.height = f"{name} ({type(head).__name__})", strides, 0
        self.handles = [
            network.register_forward_pre_hook(self.note_image, with_kwargs=True),
            head.register_forward_pre_hook(self.check),
        ]

    def note_image(self, _: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.height = (args[0] if args else kwargs["inputs"]).shape[-2]

    def check(self, _: nn.Module, args: tuple[Any, ...]) -> None:
        if not self.height:
            return  # the head was called by itself
        for handle in self.handles:
            handle.remove()
        rows = [fmap.shape[-2] for fmap in args[0]]
        found = [self.height / high for high in rows]
        levels = zip(rows, found, self.strides, strict=False)  # mmdet itself refuses another number of maps
        if any(high >= _CELLS and not 0.7 < stride / wanted < 1.4 for high, stride, wanted in levels):
            raise InputError(
                f"{self.named} has anchors or points for strides {[int(s) for s in self.strides]}, but gets "
                f"maps of strides {[round(s) for s in found]}. Ask the backbone for other maps, as in "
                f"pair(..., strides=(8, 16, 32)), mend start_level of the neck, or the strides of the head's "
                f"anchor_generator."
            )
