"""The table of architectures: of each its base config, what is special to it, and its defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ..catalog.spec import PYRAMID, Spec
from ..data.dataset import Task
from .backbones import EXPANDED, EXPANDING
from .optimizers import is_plain
from .pairing import Replacing


@dataclass(frozen=True)
class Model:
    """A detector or segmenter that any backbone with the right maps can feed.

    The base's backbone is exchanged for it, as by ``swap``: channels, images and batch norms follow.

    Attributes:
        task: What it is for.
        base: The config whose heads, data pipelines and schedule are taken.
        over: What goes over ``model`` of the base before, by the kind of the new backbone.
        strides: The maps that the backbone must have.
        dilated: The output stride that the backbone must take; None if it stays as it is.
        drop_path: Rate of stochastic depth of a Swin, as in its authors' config of this model.
        level_norm: Whether a Swin's maps are normed each, as in that config.
        frozen: Whether a backbone that starts from weights keeps them all.
        backbone_type: Which class reads the maps, where not at the ends of the stages.
        adamw_base: The same for backbones without batch norm; None if it is one for all.
    """

    task: Task
    base: str
    over: Callable[[Spec], dict[str, Any]] | None = None
    strides: tuple[int, ...] = PYRAMID
    dilated: int | None = None
    drop_path: float = 0.2
    level_norm: bool = False
    frozen: bool = False
    backbone_type: Callable[[Spec], str | None] | None = None
    adamw_base: str | None = None


class EfficientDetSize(NamedTuple):
    """One row of table 1 of arXiv 1911.09070.

    Attributes:
        channels: of BiFPN and heads.
        num_repeats: cells of BiFPN.
        stacked_convs: convolutions in each head before the prediction.
        img_scale: side of the image in pixels.
    """

    channels: int
    num_repeats: int
    stacked_convs: int
    img_scale: int


EFFICIENTDETS = {
    "d0": EfficientDetSize(64, 3, 3, 512),
    "d1": EfficientDetSize(88, 4, 3, 640),
    "d2": EfficientDetSize(112, 5, 3, 768),
    "d3": EfficientDetSize(160, 6, 4, 896),
    "d4": EfficientDetSize(224, 7, 4, 1024),
}
#: Families whose maps are the output of an activation; SwiftNet (arXiv 1903.08469) reads them before it.
_ACTIVATED = ("resnet", "wide_resnet", "resnext", "senet", "regnetx", "regnety", "cbam")


def _fpn(spec: Spec) -> dict[str, Any]:
    """Our FPN; a plain ViT gets the simple pyramid of ViTDet (arXiv 2203.16527) from its last map."""
    if not is_plain(spec):
        return {"neck": {"type": "mmbackbones.FPN"}}
    neck = Replacing(
        type="mmbackbones.SimpleFeaturePyramid",
        in_channels=[1024],
        out_channels=256,
        num_outs=5,
        in_stride=16,
    )
    return {"backbone": {"out_indices": (2,)}, "neck": neck}


def _from_c3(spec: Spec, **extra_convs: Any) -> dict[str, Any]:
    """Our FPN of C3 to C5 with P6 and P7, made as ``extra_convs`` say."""
    neck = Replacing(
        type="mmbackbones.FPN", in_channels=[512, 1024, 2048], out_channels=256, num_outs=5, **extra_convs
    )
    return {"backbone": {"out_indices": (1, 2, 3)}, "neck": neck}


def _efficientdet(size: EfficientDetSize, spec: Spec) -> dict[str, Any]:
    return {
        "neck": {"out_channels": size.channels, "num_repeats": size.num_repeats},
        "bbox_head": {"in_channels": size.channels, "stacked_convs": size.stacked_convs},
    }


def _yolov4_tiny(spec: Spec) -> dict[str, Any]:
    """The neck joins all of C4; of the original's backbone the half that the original joins."""
    if spec.name != "cspdarknet53_tiny":
        return {}
    return {"neck": {"skip_channels": 256}, "bbox_head": {"in_channels": [256, 384]}}


def _linear(spec: Spec) -> dict[str, Any]:
    """The last map of a plain ViT is at its patches' stride."""
    return (
        {"backbone": {"out_strides": (16,)}, "decode_head": {"in_channels": 1024}} if is_plain(spec) else {}
    )


def _expanding(spec: Spec) -> str | None:
    """As the original; timm calls nets of mixed kernels, which cannot be read so, by the same families."""
    return EXPANDING if spec.family in EXPANDED and not spec.name.startswith("timm:") else None


def _before_activation(spec: Spec) -> str | None:
    return "mmbackbones.PreActivationBackbone" if spec.family in _ACTIVATED else None


_TWO_STAGE = partial(Model, "detection", over=_fpn, level_norm=True)
#: What --model takes.
MODELS: dict[str, Model] = {
    "faster-rcnn": _TWO_STAGE("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco"),
    "mask-rcnn": _TWO_STAGE("mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco"),
    "cascade-rcnn": _TWO_STAGE("mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco"),
    "cascade-mask-rcnn": _TWO_STAGE("mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco"),
    "retinanet": Model(
        "detection",
        "mmdet::retinanet/retinanet_r50_fpn_1x_coco",
        partial(_from_c3, add_extra_convs="on_input"),  # P6 from C5
        strides=(8, 16, 32),
    ),
    "fcos": Model(
        "detection",
        "mmdet::fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco",
        partial(_from_c3, add_extra_convs="on_output", relu_before_extra_convs=True),  # P6 from P5
        strides=(8, 16, 32),
    ),
    "ssdlite": Model("detection", "_base_/ssdlite_coco", strides=(16, 32), backbone_type=_expanding),
    "yolov4-tiny": Model("detection", "_base_/yolov4-tiny_coco", _yolov4_tiny, strides=(16, 32)),
    **{
        f"efficientdet-{name}": Model(
            "detection", "_base_/efficientdet_coco", partial(_efficientdet, size), strides=(8, 16, 32)
        )
        for name, size in EFFICIENTDETS.items()
    },
    "mask2former-instance": Model(
        "detection", "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco", drop_path=0.3
    ),
    "deeplabv3plus": Model(
        "segmentation", "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024", dilated=8
    ),
    "deeplabv3": Model(
        "segmentation", "mmseg::deeplabv3/deeplabv3_r50-d8_4xb2-80k_cityscapes-512x1024", dilated=8
    ),
    "fcn": Model("segmentation", "mmseg::fcn/fcn_r50-d8_4xb2-80k_cityscapes-512x1024", dilated=8),
    "lraspp": Model("segmentation", "_base_/lraspp_voc12aug", strides=(8, 32), dilated=16),
    "upernet": Model(
        "segmentation",
        "mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512",
        drop_path=0.3,
        level_norm=True,
        adamw_base="mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512",
    ),
    "unetpp": Model("segmentation", "_base_/unetpp_cityscapes", strides=(2, *PYRAMID)),
    "swiftnet": Model("segmentation", "_base_/swiftnet_cityscapes", backbone_type=_before_activation),
    "swiftnet-s8": Model(
        "segmentation",
        "_base_/swiftnet-s8_cityscapes",
        strides=(8, 16, 32),
        backbone_type=_before_activation,
    ),
    "bisenet": Model(
        "segmentation",
        "mmseg::bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024",
        strides=(16, 32),
    ),
    "maskformer": Model("segmentation", "mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512"),
    "mask2former": Model(
        "segmentation", "mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512", drop_path=0.3
    ),
    "linear": Model("segmentation", "_base_/linear_ade20k", _linear, strides=(32,), frozen=True),
}
