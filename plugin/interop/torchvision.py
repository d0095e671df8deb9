"""A backbone with a feature pyramid, as torchvision's detectors take it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7

from ..backbone import build
from ..catalog.inputs import asked_weights, mean_std_of
from ..catalog.spec import PYRAMID
from ..errors import InputError
from ..feature_nets.specs import get_spec

#: What makes maps beyond the last, one by a pool or two by convolutions, and which strides it stands behind.
EXTRA_BLOCKS: dict[str | None, tuple[int, ...]] = {"pool": PYRAMID, "p6p7": PYRAMID[1:], None: PYRAMID}


class PyramidBackbone(nn.Module):
    """Backbone and FPN (arXiv 1612.03144); parameters are called ``body.*`` and ``fpn.*`` as torchvision's.

    Attributes:
        out_channels: Channels of every map.
        image_mean: Of the weights' images, RGB in 0..1, for the detector's argument of that name.
        image_std: Likewise.
    """

    def __init__(self, body: nn.Module, fpn: nn.Module, out_channels: int) -> None:
        super().__init__()
        self.body, self.fpn, self.out_channels = body, fpn, out_channels
        self.image_mean: list[float] = []
        self.image_std: list[float] = []

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps (N, out_channels, H / s, W / s) of images (N, 3, H, W), fine to coarse, "0", "1", ..."""
        return self.fpn({str(index): fmap for index, fmap in enumerate(self.body(x))})


def for_torchvision(
    name: str, *, out_channels: int = 256, extra_blocks: str | None = "pool", **backbone_args: Any
) -> PyramidBackbone:
    """A backbone for torchvision's detectors; nothing of OpenMMLab but mmengine is needed.

    >>> from torchvision.models.detection import FasterRCNN
    >>> net = for_torchvision("resnet18", frozen_stages=1)
    >>> detector = FasterRCNN(net, num_classes=3, image_mean=net.image_mean, image_std=net.image_std)

    Args:
        name: As :func:`mmbackbones.build` takes it.
        out_channels: Of every map.
        extra_blocks: ``'pool'`` adds the map "pool" at twice the coarsest stride, for ``FasterRCNN`` and
            ``MaskRCNN``; ``'p6p7'`` adds two by convolutions and leaves the map of stride 4 out, for
            ``RetinaNet`` and ``FCOS``; None adds none. With the default strides either gives the five maps
            that these detectors' anchors are for.
        **backbone_args: Further arguments of the backbone: ``pretrained=True``, ``out_strides``.

    Raises:
        InputError: no such ``extra_blocks``, or what the backbone refuses.
    """
    if extra_blocks not in EXTRA_BLOCKS:
        raise InputError(f"extra_blocks={extra_blocks!r} is not known. Allowed: 'pool', 'p6p7', None.")
    spec = get_spec(name)
    if backbone_args.get("out_strides") is None and backbone_args.get("out_indices") is None:
        strides = [stride for stride in EXTRA_BLOCKS[extra_blocks] if stride in spec.channels]
        backbone_args = {**backbone_args, "out_strides": strides}
    body = build(name, **backbone_args)
    extra = {"pool": LastLevelMaxPool, "p6p7": lambda: LastLevelP6P7(out_channels, out_channels)}
    made = extra[extra_blocks]() if extra_blocks else None
    fpn = FeaturePyramidNetwork(list(body.out_channels), out_channels, extra_blocks=made)
    net = PyramidBackbone(body, fpn, out_channels)
    mean, std = mean_std_of(spec, asked_weights(spec, backbone_args))
    net.image_mean, net.image_std = list(mean), list(std)
    return net
