"""SSDLite, YOLOv4-tiny and EfficientDet around any backbone, as pieces of a config.

Each function gives what changes with the backbone; the rest, the same for all, stands in the config
that it goes over: ``_base_/ssdlite.py``, ``_base_/yolov4-tiny.py``, ``_base_/efficientdet.py``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import InputError
from ..feature_nets.specs import get_spec
from .pairing import Replacing, pair


class EfficientDetSize(NamedTuple):
    """One row of table 1 of arXiv 1911.09070.

    Attributes:
        backbone: catalog name.
        channels: of BiFPN and heads.
        num_repeats: cells of BiFPN.
        stacked_convs: convolutions in each head before the prediction.
        img_scale: side of the image in pixels.
    """

    backbone: str
    channels: int
    num_repeats: int
    stacked_convs: int
    img_scale: int


EFFICIENTDETS = {
    "d0": EfficientDetSize("efficientnet_b0", 64, 3, 3, 512),
    "d1": EfficientDetSize("efficientnet_b1", 88, 4, 3, 640),
    "d2": EfficientDetSize("efficientnet_b2", 112, 5, 3, 768),
    "d3": EfficientDetSize("efficientnet_b3", 160, 6, 4, 896),
    "d4": EfficientDetSize("efficientnet_b4", 224, 7, 4, 1024),
}


#: Families of the catalog whose blocks are inverted residuals of expansion 6 (arXiv 1801.04381, table 2).
EXPANSION = 6
EXPANDED = ("mobilenetv2", "mobilenetv3", "mnasnet", "efficientnet", "efficientnet_lite", "efficientnetv2")


def ssdlite(name: str, *, expanded: bool | None = None, **backbone_args: Any) -> dict[str, Any]:
    """SSDLite (arXiv 1801.04381, section 6.2) on maps of strides 16 and 32 and four extra levels.

    Args:
        name: a catalog name, ``timm:<name>`` or ``torchvision:<name>``.
        expanded: read stride 16 inside the block that leads to stride 32, after its expansion, as the
            original does; see :class:`mmbackbones.inner_taps.expanded.ExpandedBackbone`. By default for
            the families of :data:`EXPANDED`, in the catalog and in torchvision.
        **backbone_args: further arguments of the backbone, e.g. ``frozen_stages=1``.

    Returns:
        ``backbone``, ``neck``, ``bbox_head`` with its ``in_channels``, and ``data_preprocessor``.

    Raises:
        InputError: unknown backbone, or one without the maps.
    """
    extra = [512, 256, 256, 128]
    pieces = pair(name, "SSDLiteNeck", neck_cfg={"extra_channels": extra}, **backbone_args)
    if expanded is None:  # timm calls nets of mixed kernels, which cannot be read so, by the same families
        expanded = get_spec(name).family in EXPANDED and not name.startswith("timm:")
    if expanded:
        pieces["backbone"] = Replacing(type="mmbackbones.ExpandedBackbone", name=name, **backbone_args)
        pieces["neck"]["in_channels"][0] = expanded_width(name, backbone_args.get("net_kwargs"))
    pieces["bbox_head"] = {"in_channels": [*pieces["neck"]["in_channels"], *extra]}
    return pieces


def expanded_width(name: str, net_kwargs: dict[str, Any] | None = None) -> int:
    """Channels of the expanded map; outside the families of :data:`EXPANDED` the net is built to see them.

    Raises:
        InputError: the net has no such map.
    """
    spec = get_spec(name)
    if spec.family in EXPANDED and ":" not in name and not net_kwargs:
        return EXPANSION * spec.channels[16]
    from ..feature_nets.specs import without_values
    from ..inner_taps.expanded import ExpandedBackbone

    return without_values(lambda: ExpandedBackbone(name, net_kwargs=net_kwargs)).out_channels[0]


def yolov4_tiny(name: str, **backbone_args: Any) -> dict[str, Any]:
    """YOLOv4-tiny (arXiv 2011.08036) on maps of strides 16 and 32.

    Args:
        name: a catalog name, ``timm:<name>`` or ``torchvision:<name>``. Of ``cspdarknet53_tiny`` the neck
            joins the half of C4 that the original joins, of others all of C4.
        **backbone_args: further arguments of the backbone, e.g. ``frozen_stages=1``.

    Returns:
        ``backbone``, ``neck``, ``bbox_head`` with its ``in_channels``, and ``data_preprocessor``.

    Raises:
        InputError: unknown backbone, or one without the maps.
    """
    pieces = pair(name, "YOLOV4TinyNeck", **backbone_args)
    skip = pieces["neck"]["in_channels"][0]
    if get_spec(name).name == "cspdarknet53_tiny":
        skip //= 2
        pieces["neck"]["skip_channels"] = skip
    pieces["bbox_head"] = {"in_channels": [256, 128 + skip]}
    return pieces


def efficientdet(size: str = "d0", name: str | None = None, **backbone_args: Any) -> dict[str, Any]:
    """EfficientDet (arXiv 1911.09070) of ``size`` on maps of strides 8, 16 and 32.

    Args:
        size: a key of ``EFFICIENTDETS``: ``"d0"`` to ``"d4"``. Its ``img_scale`` is for the pipelines.
        name: a catalog name, ``timm:<name>`` or ``torchvision:<name>``; the paper's EfficientNet by
            default.
        **backbone_args: further arguments of the backbone, e.g. ``frozen_stages=1``.

    Returns:
        ``backbone``, ``neck``, ``bbox_head`` with its widths, and ``data_preprocessor``.

    Raises:
        InputError: unknown size or backbone, or one without the maps.
    """
    if size not in EFFICIENTDETS:
        raise InputError(f"size={size!r}: EfficientDet has {', '.join(EFFICIENTDETS)} here.")
    row = EFFICIENTDETS[size]
    neck_cfg = {"num_repeats": row.num_repeats}
    pieces = pair(
        name or row.backbone, "BiFPN", out_channels=row.channels, neck_cfg=neck_cfg, **backbone_args
    )
    pieces["bbox_head"] = {"in_channels": row.channels, "stacked_convs": row.stacked_convs}
    return pieces
