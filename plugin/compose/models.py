"""The table of architectures: of each its base config, what changes with the backbone, and its defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..catalog.spec import PYRAMID
from ..data.dataset import Task
from ..feature_nets.specs import get_spec
from .detectors import EFFICIENTDETS, efficientdet, ssdlite, yolov4_tiny
from .optimizers import is_plain
from .pairing import Replacing, channels_with, pair

Pieces = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Model:
    """A detector or segmenter that any backbone with the right maps can feed.

    Attributes:
        task: What it is for.
        base: The config whose heads, data pipelines and schedule are taken.
        adamw_base: The same for backbones without batch norm; None if it is one for all.
        pieces: Takes a backbone's name and arguments; returns what goes over ``model`` of the base.
        strides: The maps that the backbone must have.
        dilated: The output stride that the backbone must take; None if it stays as it is.
        drop_path: Rate of stochastic depth of a Swin, as in its authors' config of this model.
        trained: Arguments of a backbone with batch norms that starts from weights.
        frozen: Whether a backbone that starts from weights keeps them all.
        norm_cfg: The batch norm of a backbone that has any; None leaves it as it is.
    """

    task: Task
    base: str
    pieces: Pieces
    strides: tuple[int, ...] = PYRAMID
    dilated: int | None = None
    drop_path: float = 0.2
    trained: Mapping[str, Any] = field(default_factory=dict)
    frozen: bool = False
    norm_cfg: Mapping[str, Any] | None = None
    adamw_base: str | None = None


#: As mmdet's: batches are small. The stem and the first stage keep their weights.
_SMALL_BATCHES = {"frozen_stages": 1, "norm_eval": True}
_SYNC = {"type": "SyncBN"}
#: Families whose maps are the output of an activation; SwiftNet (arXiv 1903.08469) reads them before it.
_ACTIVATED = ("resnet", "wide_resnet", "resnext", "senet", "regnetx", "regnety", "cbam")


def _two_stage(name: str, **args: Any) -> dict[str, Any]:
    """FPN; a plain ViT gets the simple pyramid of ViTDet (arXiv 2203.16527) from its last map.

    Swin's maps are normed each before the neck, as its authors have it.
    """
    spec = get_spec(name)
    model = pair(name, "SimpleFeaturePyramid" if is_plain(spec) else "FPN", **args)
    if spec.family == "swin":
        norm = {"type": "mmbackbones.LevelNorm", "in_channels": model["neck"]["in_channels"]}
        model["neck"] = [norm, dict(model["neck"])]
    return model


def _retinanet(name: str, **args: Any) -> dict[str, Any]:
    neck_cfg = {"add_extra_convs": "on_input", **args.pop("neck_cfg", {})}  # P6 from C5, as mmdet's
    return pair(name, "FPN", strides=(8, 16, 32), neck_cfg=neck_cfg, **args)


def _dilated(
    name: str, *, c1: bool = False, rates: tuple[int, ...] = (12, 24, 36), **args: Any
) -> dict[str, Any]:
    """A decode head on the last map of a dilated backbone, ``c1`` if it takes the finest too; FCN's on C4."""
    strides = tuple(sorted(args.get("out_strides", PYRAMID)))
    channels = channels_with(get_spec(name), args.get("net_kwargs") or {})
    head: dict[str, Any] = {"in_channels": channels[strides[-1]]}
    if c1:
        head["c1_in_channels"] = channels[strides[0]]
    stride = args.setdefault("output_stride", 8)  # whose rates the base has
    if rates and stride != 8:  # half the rates see as much at twice the stride (arXiv 1802.02611, sec. 3.1)
        head["dilations"] = (1, *(rate * 8 // stride for rate in rates))
    model = pair(name, None, **args)
    return {**model, "decode_head": head, "auxiliary_head": {"in_channels": channels[strides[-2]]}}


def _all_maps(name: str, *, strides: tuple[int, ...] = PYRAMID, auxiliary: bool = False, **args: Any) -> Any:
    """A decode head that reads all maps, perhaps with an auxiliary head on C4."""
    channels = get_spec(name).channels
    normed = get_spec(name).family == "swin" and auxiliary  # UPerNet's
    model = pair(name, "LevelNorm" if normed else None, strides=strides, **args)
    model["decode_head"] = {"in_channels": [channels[stride] for stride in strides]}
    return {**model, "auxiliary_head": {"in_channels": channels[16]}} if auxiliary else model


def _swiftnet(name: str, **args: Any) -> dict[str, Any]:
    model = _all_maps(name, **args)
    if get_spec(name).family in _ACTIVATED:
        model["backbone"] = Replacing(type="mmbackbones.PreActivationBackbone", name=name, **args)
    return model


def _mask2former_instances(name: str, **args: Any) -> dict[str, Any]:
    model = _all_maps(name, **args)
    model["panoptic_head"] = model.pop("decode_head")
    return model


def _linear(name: str, **args: Any) -> dict[str, Any]:
    """The last map alone; of a plain ViT that is at its patches' stride."""
    stride = 16 if is_plain(get_spec(name)) else 32
    model = pair(name, None, strides=(stride,), **args)
    return {**model, "decode_head": {"in_channels": get_spec(name).channels[stride]}}


def _bisenet(name: str, **args: Any) -> dict[str, Any]:
    model = pair(name, None, strides=(16, 32), **args)
    own = {"norm_cfg": args["norm_cfg"]} if "norm_cfg" in args else {}  # of its spatial path
    model["backbone"] = Replacing(type="mmbackbones.BiSeNet", backbone_cfg=model["backbone"], **own)
    return model


#: What --model takes.
MODELS: dict[str, Model] = {
    "faster-rcnn": Model(
        "detection", "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco", _two_stage, trained=_SMALL_BATCHES
    ),
    "mask-rcnn": Model(
        "detection", "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco", _two_stage, trained=_SMALL_BATCHES
    ),
    "cascade-rcnn": Model(
        "detection", "mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco", _two_stage, trained=_SMALL_BATCHES
    ),
    "cascade-mask-rcnn": Model(
        "detection",
        "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco",
        _two_stage,
        trained=_SMALL_BATCHES,
    ),
    "retinanet": Model(
        "detection",
        "mmdet::retinanet/retinanet_r50_fpn_1x_coco",
        _retinanet,
        (8, 16, 32),
        trained=_SMALL_BATCHES,
    ),
    "ssdlite": Model("detection", "_base_/ssdlite_coco", ssdlite, (16, 32)),
    "yolov4-tiny": Model("detection", "_base_/yolov4-tiny_coco", yolov4_tiny, (16, 32)),
    **{
        f"efficientdet-{size}": Model(
            "detection", "_base_/efficientdet_coco", partial(efficientdet, size), (8, 16, 32)
        )
        for size in EFFICIENTDETS
    },
    "mask2former-instance": Model(
        "detection",
        "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco",
        _mask2former_instances,
        drop_path=0.3,
        trained={"norm_cfg": {"type": "BN", "requires_grad": False}, "norm_eval": True},
    ),
    "deeplabv3plus": Model(
        "segmentation",
        "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024",
        partial(_dilated, c1=True),
        dilated=8,
        norm_cfg=_SYNC,
    ),
    "deeplabv3": Model(
        "segmentation",
        "mmseg::deeplabv3/deeplabv3_r50-d8_4xb2-80k_cityscapes-512x1024",
        _dilated,
        dilated=8,
        norm_cfg=_SYNC,
    ),
    "fcn": Model(
        "segmentation",
        "mmseg::fcn/fcn_r50-d8_4xb2-80k_cityscapes-512x1024",
        partial(_dilated, rates=()),
        dilated=8,
        norm_cfg=_SYNC,
    ),
    "upernet": Model(
        "segmentation",
        "mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512",
        partial(_all_maps, auxiliary=True),
        drop_path=0.3,
        norm_cfg=_SYNC,
        adamw_base="mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512",
    ),
    "unetpp": Model(
        "segmentation",
        "_base_/unetpp_cityscapes",
        partial(_all_maps, strides=(2, *PYRAMID)),
        (2, *PYRAMID),
        norm_cfg=_SYNC,
    ),
    "swiftnet": Model("segmentation", "_base_/swiftnet_cityscapes", _swiftnet),
    "bisenet": Model(
        "segmentation",
        "mmseg::bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024",
        _bisenet,
        (16, 32),
        norm_cfg=_SYNC,
    ),
    "maskformer": Model(
        "segmentation",
        "mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512",
        _all_maps,
        norm_cfg=_SYNC,
        trained={"norm_eval": True},
    ),
    "mask2former": Model(
        "segmentation",
        "mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512",
        _all_maps,
        drop_path=0.3,
        norm_cfg=_SYNC,
        trained={"norm_cfg": {**_SYNC, "requires_grad": False}},
    ),
    "linear": Model("segmentation", "_base_/linear_ade20k", _linear, (32,), frozen=True),
}
