"""A backbone as an encoder, as the decoders of segmentation_models_pytorch take it; that is not imported."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..backbone import build
from ..errors import InputError
from ..feature_nets.specs import get_spec

_DEPTHS = (3, 4, 5)


class Encoder(nn.Module):
    """The image and its maps at strides 2, 4, ... ``2 ** depth``.

    Args:
        name: As :func:`mmbackbones.build` takes it.
        depth: How many maps.
        in_channels: Channels of the image.
        output_stride: 8, 16 or 32, as the backbone's argument.
        backbone_args: Further arguments of the backbone.

    Attributes:
        out_channels: Channels of the image and of each map; 0 at strides that the network lacks.
        output_stride: Stride of the last map.
        output_strides: Strides of all, the image's first.
    """

    def __init__(
        self, name: str, depth: int, in_channels: int, output_stride: int, backbone_args: dict[str, Any]
    ) -> None:
        super().__init__()
        spec = get_spec(name)
        strides = [2 << k for k in range(depth)]
        own = [stride for stride in strides if stride in spec.channels]
        if strides[-1] not in own:
            raise InputError(
                f"'{name}' has no map at stride {strides[-1]}, the last of depth={depth}. It has "
                f"{spec.strides}: choose another depth of {_DEPTHS}, or another backbone."
            )
        dilated = {"output_stride": output_stride} if output_stride < strides[-1] else {}
        self.backbone = build(name, out_strides=own, in_channels=in_channels, **dilated, **backbone_args)
        self._how = (name, depth, in_channels, output_stride, backbone_args)
        self._strides = [min(stride, output_stride) for stride in strides]
        self._places = [own.index(stride) if stride in own else None for stride in strides]
        channels = [0 if place is None else self.backbone.out_channels[place] for place in self._places]
        self.out_channels = [in_channels, *channels]
        self.output_strides = [1, *self._strides]
        self.output_stride = self._strides[-1]

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:
        """Take images of other channels: segmentation_models_pytorch calls this.

        The backbone is built anew, and loads its weights anew if its own arguments say so; ``pretrained``
        says nothing more.
        """
        name, depth, before, output_stride, backbone_args = self._how
        if in_channels != before:
            Encoder.__init__(self, name, depth, in_channels, output_stride, backbone_args)

    def make_dilated(self, output_stride: int) -> None:
        """Dilate the backbone, unless it is dilated so; likewise."""
        name, depth, in_channels, before, backbone_args = self._how
        if output_stride != before:
            Encoder.__init__(self, name, depth, in_channels, output_stride, backbone_args)

    def forward(self, x: Tensor) -> list[Tensor]:
        """``x`` (N, C, H, W) and its maps, fine to coarse, each of ceil(size / stride) cells."""
        maps = self.backbone(x)
        high, wide = x.shape[-2:]
        found = [x]
        for place, stride in zip(self._places, self._strides, strict=True):
            if place is None:  # a decoder joins it to others: it has no channels
                found.append(x.new_empty(len(x), 0, -(-high // stride), -(-wide // stride)))
            else:
                found.append(maps[place])
        return found


def for_smp(
    name: str, *, depth: int = 5, in_channels: int = 3, output_stride: int = 32, **backbone_args: Any
) -> Encoder:
    """A backbone as an encoder of segmentation_models_pytorch; nothing of OpenMMLab but mmengine is needed.

    Its models build their encoders by name, from a table that takes more entries::

        from functools import partial
        import segmentation_models_pytorch as smp

        smp.encoders.encoders["convnext_tiny"] = dict(
            encoder=partial(mmbackbones.for_smp, "convnext_tiny"), params={}
        )
        model = smp.Unet("convnext_tiny", encoder_weights=None, classes=4)

    Args:
        name: As :func:`mmbackbones.build` takes it.
        depth: 3, 4 or 5: how many maps, of which the last has stride ``2 ** depth``.
        in_channels: Channels of the image.
        output_stride: 8, 16 or 32: see the backbone's argument.
        **backbone_args: Further arguments of the backbone: ``pretrained=True``, ``frozen_stages``.

    Raises:
        InputError: no such depth, no map at the last stride, or what the backbone refuses.
    """
    if depth not in _DEPTHS:
        raise InputError(f"depth={depth!r} is not one of {_DEPTHS}.")
    for said in ("out_strides", "out_indices"):
        if said in backbone_args:
            raise InputError(f"{said}={backbone_args[said]!r}: depth={depth} says which maps. Leave it out.")
    return Encoder(name, depth, in_channels, output_stride, backbone_args)
