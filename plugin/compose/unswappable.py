"""Models whose backbone cannot be exchanged, each with the reason and what to choose instead."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from .configs import kind, walk

_BISENET = "mmbackbones::segmentation/bisenet_resnet18_4xb4-160k_cityscapes-1024x1024"
_TWO_BRANCHES = (
    "its branches exchange maps on the way, so the head reads no backbone that could stand alone",
    _BISENET,
)
_FUSED = ("it holds what fuses its branches, and the head reads the fused map", _BISENET)
_DEEPLAB = "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024"
_UPERNET = "mmseg::upernet/upernet_r50_4xb2-80k_cityscapes-512x1024"

#: By the type of a model, backbone, neck or head: why, and which config to take instead.
UNSWAPPABLE: dict[str, tuple[str, str]] = {
    "HourglassNet": (
        "its stacks each give a map of the same stride, and a head reads each of them while training",
        "mmdet::centernet/centernet_r18_8xb16-crop512-140e_coco",
    ),
    "TridentResNet": (
        "its three dilated branches are what its RoI head trains and merges",
        "mmdet::faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco",
    ),
    "RFP": (
        "this neck sends the image through a second backbone of its own, with the first one's blocks",
        "mmdet::pafpn/faster-rcnn_r50_pafpn_1x_coco",
    ),
    "ICNet": ("it runs parts of a ResNet on three sizes of the image by the names of its layers", _DEEPLAB),
    "BiSeNetV2": _FUSED,
    "DDRNet": _TWO_BRANCHES,
    "PIDNet": _TWO_BRANCHES,
    "FastSCNN": _FUSED,
    "UNet": (
        "it holds encoder and decoder, and the head reads the decoder's maps",
        "mmbackbones::segmentation/unetpp_resnet50_4xb2-80k_cityscapes-512x1024",
    ),
    "ERFNet": ("it holds encoder and decoder, and the head reads the decoder's last map", _DEEPLAB),
    "VPD": ("it is a text-conditioned diffusion model, whose prompts are made for its own layers", _UPERNET),
    "MultimodalEncoderDecoder": (
        "its image encoder is CLIP's, paired with the text encoder by training",
        _UPERNET,
    ),
    "DPTHead": ("this head reads the class tokens of a plain ViT with its maps", _UPERNET),
    "Detectron2Wrapper": (
        "detectron2 builds it from a config of its own",
        "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco",
    ),
}


def check_swappable(model: dict[str, Any]) -> None:
    """Raises InputError, before anything is built, if a part of the model is :data:`UNSWAPPABLE`."""
    for _, node in walk(model):
        if (name := kind(node)) in UNSWAPPABLE:
            why, instead = UNSWAPPABLE[name]
            raise InputError(
                f"The backbone of a model with {name} cannot be exchanged: {why}. Take {instead}."
            )
