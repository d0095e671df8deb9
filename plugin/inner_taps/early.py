"""A backbone that hands out maps from inside a stage, before named modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..backbone import Backbone
from ..errors import InputError
from ..registry import MODELS
from ..taps.keep import KeepInput


@MODELS.register_module()
class EarlyBackbone(Backbone):
    """A :class:`Backbone` some of whose maps are what a module inside the stage gets, not the last of it.

    torchvision's segmentors with a MobileNetV3 read stride 8 after the first block of the stage. Channels
    are those of the stage, which its blocks share; all other arguments and promises are the backbone's.

    Args:
        name: A catalog name, ``timm:<name>`` or ``torchvision:<name>``.
        before: For each map that leaves the path of the module whose input it is, or None for the
            stage's last map.
        **backbone_args: As :class:`Backbone` has them, but for ``with_cp=True``.

    Raises:
        InputError: as many entries as maps are not there, the network has no such module, or
            ``with_cp=True``, under which modules run out of sight.
    """

    def __init__(self, name: str, *, before: Sequence[str | None], **backbone_args: Any) -> None:
        if backbone_args.get("with_cp"):
            raise InputError("with_cp=True: EarlyBackbone cannot checkpoint; use the backbone's own type.")
        super().__init__(name, **backbone_args)
        if len(before) != len(self.out_strides):
            raise InputError(
                f"before={tuple(before)} has {len(before)} entries for the maps of strides "
                f"{self.out_strides}: write one for each, None for the stage's last map."
            )
        modules = dict(self.named_modules())
        if lacking := [path for path in before if path is not None and path not in modules]:
            near = ", ".join(path for path in modules if path.count(".") == 1)
            raise InputError(f"before: '{name}' has no module '{lacking[0]}'. It has {near}.")
        self._kept = {i: KeepInput(modules[path]) for i, path in enumerate(before) if path is not None}

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """As :class:`Backbone`; the maps that ``before`` names are read there."""
        for kept in self._kept.values():
            kept.arm()
        maps = list(super().forward(x))
        for index, kept in self._kept.items():
            rows, columns = maps[index].shape[-2:]  # the image may have been padded inside
            maps[index] = kept.give()[..., :rows, :columns]
        return tuple(maps)
