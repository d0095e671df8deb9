"""A whole config for any model with any backbone: what ``mmbackbones config`` writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mmengine.config import Config

from ..catalog.inputs import resolve
from ..catalog.spec import PYRAMID, Spec
from ..errors import InputError, nearest
from ..feature_nets.specs import get_spec
from .configs import Task, kind, load_config
from .detectors import EFFICIENTDETS, efficientdet, ssdlite, yolov4_tiny
from .pairing import Replacing, pair
from .scale import reference_scale, set_scale

Pieces = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Model:
    """A detector or segmenter that any backbone with the right maps can feed.

    Attributes:
        task: What it is for.
        base: The config whose heads, data pipelines and schedule are taken.
        pieces: Takes a backbone's name and arguments; returns what goes over ``model`` of the base.
        strides: The maps that the backbone must have.
        dilated: The output stride that the backbone must take; None if it stays as it is.
        drop_path: Rate of stochastic depth of a Swin, as in its authors' config of this model.
        trained: Arguments of a backbone with batch norms that starts from weights.
        norm_cfg: The batch norm of a backbone that has any; None leaves it as it is.
    """

    task: Task
    base: str
    pieces: Pieces
    strides: tuple[int, ...] = PYRAMID
    dilated: int | None = None
    drop_path: float = 0.2
    trained: Mapping[str, Any] = field(default_factory=dict)
    norm_cfg: Mapping[str, Any] | None = None


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
    model = pair(name, "SimpleFeaturePyramid" if _is_plain(spec) else "FPN", **args)
    if spec.family == "swin":
        norm = {"type": "mmbackbones.LevelNorm", "in_channels": model["neck"]["in_channels"]}
        model["neck"] = [norm, dict(model["neck"])]
    return model


def _retinanet(name: str, **args: Any) -> dict[str, Any]:
    neck_cfg = {"add_extra_convs": "on_input"}  # P6 from C5, as mmdet's
    return pair(name, "FPN", strides=(8, 16, 32), neck_cfg=neck_cfg, **args)


def _deeplabv3plus(name: str, **args: Any) -> dict[str, Any]:
    channels = get_spec(name).channels
    head: dict[str, Any] = {"in_channels": channels[32], "c1_in_channels": channels[4]}
    stride = args.setdefault("output_stride", 8)  # whose rates the base has
    if stride != 8:  # half the rates see as much at twice the stride (arXiv 1802.02611, sec. 3.1)
        head["dilations"] = (1, *(rate * 8 // stride for rate in (12, 24, 36)))
    model = pair(name, None, **args)
    return {**model, "decode_head": head, "auxiliary_head": {"in_channels": channels[16]}}


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


def _bisenet(name: str, **args: Any) -> dict[str, Any]:
    model = pair(name, None, strides=(16, 32), **args)
    model["backbone"] = {"backbone_cfg": model["backbone"]}
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
    "ssdlite": Model("detection", "detection/ssdlite_mobilenetv3-large_8xb24-600e_coco", ssdlite, (16, 32)),
    "yolov4-tiny": Model(
        "detection", "detection/yolov4-tiny_mobilenetv3-large_8xb8-273e_coco", yolov4_tiny, (16, 32)
    ),
    **{
        f"efficientdet-{size}": Model(
            "detection",
            "detection/efficientdet-d0_mobilenetv3-large_8xb16-300e_coco",
            partial(efficientdet, size),
            (8, 16, 32),
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
        _deeplabv3plus,
        dilated=8,
        norm_cfg=_SYNC,
    ),
    "upernet": Model(
        "segmentation",
        "mmseg::upernet/upernet_r50_4xb2-80k_cityscapes-512x1024",
        partial(_all_maps, auxiliary=True),
        drop_path=0.3,
        norm_cfg=_SYNC,
    ),
    "unetpp": Model(
        "segmentation",
        "segmentation/unetpp_resnet50_4xb2-80k_cityscapes-512x1024",
        partial(_all_maps, strides=(2, *PYRAMID)),
        (2, *PYRAMID),
        norm_cfg=_SYNC,
    ),
    "swiftnet": Model(
        "segmentation", "segmentation/swiftnet_resnet18_1xb14-40k_cityscapes-768x768", _swiftnet
    ),
    "bisenet": Model(
        "segmentation",
        "segmentation/bisenet_resnet18_4xb4-160k_cityscapes-1024x1024",
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
}


def compose(
    model: str,
    backbone: str,
    *,
    pretrained: bool = True,
    weights: str | None = None,
    output_stride: int | None = None,
) -> tuple[Config, list[str]]:
    """The config of ``model`` with ``backbone``, for the base's own data set.

    Args:
        model: A key of :data:`MODELS`.
        backbone: A catalog name, ``timm:<name>`` or ``torchvision:<name>``.
        pretrained: Start from the backbone's default weights, where it has any.
        weights: Instead of the default ones: a tag, an address or a file, as ``pretrained`` of a backbone.
        output_stride: For models that dilate the backbone: 8 (the default), 16 or 32.

    Returns:
        The config, and what was decided, one sentence each.

    Raises:
        InputError: no such model or backbone, or a backbone that cannot feed the model.
    """
    if model not in MODELS:
        near = ", ".join(nearest(model, MODELS)) or "none"
        raise InputError(f"--model '{model}' is unknown. Nearest: {near}. All: {', '.join(MODELS)}.")
    row, spec = MODELS[model], get_spec(backbone)
    _check_feeds(model, row, spec)
    if output_stride is not None and row.dilated is None:
        raise InputError(f"--output-stride {output_stride}: {model} dilates no backbone; leave it out.")
    if weights is not None and not pretrained:
        raise InputError(f"--weights {weights} and --no-pretrained contradict each other: give one.")
    if pretrained:
        weights = resolve(spec, weights) if weights else next(iter(spec.weights), None)
    batch_norm = _has_batch_norm(spec)
    args: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
    if spec.family == "swin":
        args["net_kwargs"] = {"drop_path_rate": row.drop_path, "always_partition": True}
    if batch_norm and row.norm_cfg:
        args["norm_cfg"] = dict(row.norm_cfg)
    if weights:
        args |= dict(row.trained) if batch_norm else {}
        args["init_cfg"] = {"type": "Pretrained", "checkpoint": weights}
    cfg = load_config(row.base)
    pieces = row.pieces(backbone, **args)
    cfg.merge_from_dict({"model": _marked(pieces)})
    cfg.model.pop("pretrained", None)  # mmseg's own way to load weights into its own nets
    cfg.pop("data_preprocessor", None)  # a copy of the model's, with the mean of the base's backbone
    size = model.removeprefix("efficientdet-")
    if size in EFFICIENTDETS and reference_scale(cfg) != (EFFICIENTDETS[size].img_scale,) * 2:
        set_scale(cfg, (EFFICIENTDETS[size].img_scale,) * 2)
    start = f"The backbone starts from {weights}." if weights else "The backbone starts from random weights."
    frozen = " Its stem and first stage are frozen, its batch norms keep their statistics."
    notes = [start + (frozen if "frozen_stages" in args else "")]
    if not batch_norm:
        notes.append(_set_adamw(cfg, spec, layer_decay=weights is not None))
    return cfg, notes


def _check_feeds(model: str, row: Model, spec: Spec) -> None:
    """Raises InputError if the backbone lacks a map or cannot be dilated; says what to choose instead."""
    lacking = [stride for stride in row.strides if stride not in spec.channels]
    stiff = row.dilated is not None and not spec.dilatable
    if not lacking and not stiff:
        return
    others = [
        name
        for name, other in MODELS.items()
        if other.task == row.task
        and set(other.strides) <= set(spec.channels)
        and (other.dilated is None or spec.dilatable)
    ]
    why = (
        f"needs maps at strides {row.strides}, the backbone has {spec.strides}"
        if lacking
        else f"needs output_stride={row.dilated}, and the backbone cannot be dilated"
    )
    flags = f"--strides {','.join(map(str, row.strides))}" + (" --dilatable" if row.dilated else "")
    instead = (
        f"With this backbone choose {', '.join(others)}" if others else f"No model of {row.task} takes it"
    )
    raise InputError(
        f"{model} cannot be fed by '{spec.name}': it {why}. {instead}; "
        f"backbones for {model}: `mmbackbones list {flags}`."
    )


def _is_plain(spec: Spec) -> bool:
    """Whether the backbone is a plain transformer: one width at all strides."""
    return len(spec.channels) > 1 and len(set(spec.channels.values())) == 1


def _has_batch_norm(spec: Spec) -> bool:
    """Whether the network has batch norms; it is built without values to see."""
    from torch.nn.modules.batchnorm import _BatchNorm

    from ..feature_nets.specs import without_values
    from ..sources import open_net

    net = without_values(lambda: open_net(spec.source, spec.upstream, 3, spec.arguments)).net
    return any(isinstance(module, _BatchNorm) for module in net.modules())


def _marked(node: Any) -> Any:
    """``node`` with mmengine's ``_delete_`` in each dict that replaces the base's."""
    if isinstance(node, dict):
        marked = {key: _marked(value) for key, value in node.items()}
        return {**marked, "_delete_": True} if isinstance(node, Replacing) else marked
    return node


def _set_adamw(cfg: Config, spec: Spec, *, layer_decay: bool) -> str:
    """AdamW in place of SGD, with layer-wise decay if pretrained; returns what was done.

    The rate is that of Swin's and ViTDet's detectors, 1e-4 for 16 images (arXiv 2103.14030, sec. A2.2),
    and of Swin's UPerNet, 6e-5 for 16 images (sec. A2.3). Decay: 0.7 by block for plain ViTs (arXiv
    2203.16527, sec. A.2), 0.9 for nets of stages (between ConvNeXt's 0.8 and 0.95, arXiv 2201.03545, A.3).
    """
    if kind(cfg.optim_wrapper.optimizer) == "SGD":
        cfg.optim_wrapper.optimizer = {
            "type": "AdamW",
            "lr": 1e-4 if cfg.default_scope == "mmdet" else 6e-5,
            "betas": (0.9, 0.999),
            "weight_decay": 0.05,
        }
        cfg.auto_scale_lr = {"enable": False, "base_batch_size": 16}
    if not layer_decay:
        cfg.optim_wrapper.pop("paramwise_cfg", None)
        return "AdamW, since the backbone has no batch norm."
    rate = 0.7 if _is_plain(spec) else 0.9
    cfg.optim_wrapper.constructor = "mmbackbones.LayerDecayOptimWrapperConstructor"
    cfg.optim_wrapper.paramwise_cfg = {"decay_rate": rate, "by": "layer"}
    return f"AdamW with layer-wise decay {rate} of the learning rate, since the backbone has no batch norm."
