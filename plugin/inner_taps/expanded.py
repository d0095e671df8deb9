"""A backbone that hands out the expanded map inside a block, as SSDLite reads MobileNets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..backbone import Backbone
from ..errors import InputError
from ..registry import MODELS
from ..sources.cells import ceil_div
from ..taps.keep import KeepInput
from ..tracing.trace import ODD_SIZE, meta_copy


@MODELS.register_module()
class ExpandedBackbone(Backbone):
    """A :class:`Backbone` whose stride-16 map is read inside the first block of stride 32.

    SSDLite (arXiv 1801.04381, section 6.2) reads an inverted residual network not at the narrow end of
    a stage but after the expansion of the block that leads out of it: what the block's depthwise
    convolution of stride 2 gets. For MobileNetV3-Large that are 672 channels instead of 112. All other
    maps, arguments and promises are the backbone's.

    Args:
        name: A catalog name, ``timm:<name>`` or ``torchvision:<name>`` of a network that goes from
            stride 16 to 32 by a depthwise convolution: MobileNets, EfficientNets, MnasNets ...
        out_strides: Strides of the maps in pixels, 16 and 32 among them.
        **backbone_args: As :class:`Backbone` has them, but ``out_indices`` and ``output_stride``.

    Raises:
        InputError: strides without 16 and 32, or a network without such a convolution.
    """

    def __init__(self, name: str, *, out_strides: Sequence[int] = (16, 32), **backbone_args: Any) -> None:
        for other in ("out_indices", "output_stride"):
            if backbone_args.get(other) is not None:
                raise InputError(f"{other}={backbone_args[other]!r}: write out_strides instead.")
        if not {16, 32} <= set(out_strides):
            raise InputError(f"out_strides={tuple(out_strides)}: 16 and 32 must be among them.")
        super().__init__(name, out_strides=out_strides, **backbone_args)
        self._at = self.out_strides.index(16)
        path, width = self._expansion()
        self.out_channels = (*self.out_channels[: self._at], width, *self.out_channels[self._at + 1 :])
        self._keep = KeepInput(self.get_submodule(path))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """As :class:`Backbone`; the map of stride 16 is the expanded one."""
        self._keep.arm()
        maps = list(super().forward(x))
        rows, columns = maps[self._at].shape[-2:]  # the image may have been padded inside
        maps[self._at] = self._keep.give()[..., :rows, :columns]
        return tuple(maps)

    def _expansion(self) -> tuple[str, int]:
        """Path of the first depthwise convolution from stride 16 to 32, and the channels it gets."""
        copied = meta_copy(self._feature_net)
        size = [ceil_div(side, self._pad_to) * self._pad_to for side in ODD_SIZE]
        found: list[tuple[str, int]] = []

        def look(path: str) -> Any:
            def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                if inputs[0].shape[-2] == ceil_div(size[0], 16):
                    found.append((path, inputs[0].shape[1]))

            return note

        for path, conv in copied.net.named_modules():
            if isinstance(conv, nn.Conv2d) and max(conv.stride) == 2 and conv.groups == conv.in_channels > 1:
                conv.register_forward_pre_hook(look(path))
        copied.run(torch.empty(1, self.in_channels, *size, device="meta"), self._taps)
        if not found:
            raise InputError(
                f"'{self.spec.name}' has no depthwise convolution of stride 2 behind stride 16, so no "
                f"expanded map: write type='mmbackbones.Backbone', which gives its ordinary maps."
            )
        return found[0]
