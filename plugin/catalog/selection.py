"""The selection tables: which model and backbone for which task and scene. Data, in one file, no torch.

The READMEs and ``docs/models.md`` are written from it by ``docs/selection.py``, ``mmbackbones recommend``
ranks it, and the recipes of ``mmbackbones train --recipe`` are its rows of fine-tuning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

#: What ``--task`` takes. ``finetune`` has rows for detection and for segmentation, by the amount of images.
TASKS = ("detection", "instance", "segmentation", "finetune")
#: What ``--scene`` takes, the most accurate first: without a scene rows are taken in this order. In English
#: and in Chinese.
SCENES = {
    "accuracy": ("highest accuracy", "最高精度"),
    "server": ("accuracy on a server; in segmentation: general", "服务器端精度；分割：通用"),
    "foundation": ("foundation ViT", "基础模型 ViT"),
    "realtime": ("real time", "实时"),
    "mobile": ("light, mobile", "轻量、移动端"),
    "edge-int8": ("edge, INT8 (no squeeze and excitation)", "边缘端 INT8（不含 SE 模块）"),
}
#: How papers call the models of ``mmbackbones config --model``.
TITLES = {
    "faster-rcnn": "Faster R-CNN",
    "mask-rcnn": "Mask R-CNN",
    "cascade-mask-rcnn": "Cascade Mask R-CNN",
    "retinanet": "RetinaNet",
    "ssdlite": "SSDLite",
    "yolov4-tiny": "YOLOv4-tiny",
    "efficientdet-d0": "EfficientDet-D0",
    "mask2former-instance": "Mask2Former",
    "deeplabv3plus": "DeepLabV3+",
    "unetpp": "U-Net++",
    "upernet": "UPerNet",
    "maskformer": "MaskFormer",
    "mask2former": "Mask2Former",
    "bisenet": "BiSeNet",
    "swiftnet": "SwiftNet",
    "swiftnet-s8": "SwiftNet, maps to stride 8",
    "linear": "linear head",
}


@dataclass(frozen=True)
class Amount:
    """How to fine-tune on an amount of images; in a row of fine-tuning it stands in the scene's place.

    Attributes:
        name: As in ``--recipe`` and in the names of the configs.
        below: For fewer training images than this; None for any number.
        why: What trains, and the reason.
    """

    name: str
    below: int | None
    why: str


AMOUNTS = (
    Amount(
        "hundreds",
        1_000,
        "too few to learn edges and textures anew, so patch embedding and stages 1 and 2 stay frozen",
    ),
    Amount(
        "thousands",
        10_000,
        "enough to adapt all but the first third of the layers, which stays frozen; learning rate 1e-4",
    ),
    Amount(
        "tens-of-thousands",
        None,
        "enough for everything to train, on images changed by RandAugment",
    ),
)


@dataclass(frozen=True)
class Known:
    """A backbone of the tables.

    Attributes:
        name: The catalog's, or ``timm:<name>``, ``torchvision:<name>``.
        licence: Of the weights that the configs load, as timm states it; :data:`UNSTATED` where nobody
            does, empty where nothing is loaded.
        params: Outside the catalog: parameters up to the coarsest map.
        gflops: Outside the catalog: billions of multiply-adds at 224 x 224.
        has_se: Outside the catalog: whether it has squeeze-and-excitation gates.
    """

    name: str
    licence: str
    params: int = 0
    gflops: float = 0.0
    has_se: bool = False


#: torchvision's weights: its licence is that of its code.
UNSTATED = "unstated"
#: By the words that the names of the configs have for them.
BACKBONES = {
    "cspdarknet53-tiny": Known("cspdarknet53_tiny", ""),
    "densenet121": Known("densenet121", UNSTATED),
    "dinov2-small": Known("vit_small_patch14_dinov2", "apache-2.0"),
    "dinov3-small": Known("vit_small_patch16_dinov3", "dinov3-license"),
    "efficientnet-b0": Known("efficientnet_b0", "apache-2.0"),
    "efficientnet-lite0": Known("efficientnet_lite0", "apache-2.0"),
    "mobilenetv2": Known("mobilenetv2_100", "apache-2.0"),
    "mobilenetv3-large": Known("mobilenetv3_large_100", "apache-2.0"),
    "mobilenetv3-large-minimal": Known("mobilenetv3_large_minimal_100", "apache-2.0"),
    "mobilenetv3-large-scratch": Known("torchvision:mobilenet_v3_large", "", 2_971_952, 0.2141, True),
    "regnetx-040": Known("regnetx_040", "mit"),
    "regnety-040": Known("regnety_040", "apache-2.0"),
    "regnety-080": Known("regnety_080", "apache-2.0"),
    "resnet18": Known("resnet18", UNSTATED),
    "resnet50": Known("resnet50", UNSTATED),
    "resnet50c": Known("timm:resnet50c", "apache-2.0", 23_527_264, 4.327),
    "resnet101": Known("resnet101", UNSTATED),
    "resnet101c": Known("timm:resnet101c", "apache-2.0", 42_519_392, 8.039),
    "shufflenetv2": Known("shufflenet_v2_x1_0", UNSTATED),
    "swin-tiny": Known("swin_tiny_patch4_window7_224", "mit"),
    "vgg16": Known("vgg16", UNSTATED),
    "vit-base": Known("vit_base_patch16_224", "apache-2.0"),
    "xception65": Known("xception65", "apache-2.0"),
}


@dataclass(frozen=True)
class Choice:
    """One entry of a table: a model with a backbone, and the shipped config of both.

    Attributes:
        task: One of :data:`TASKS`.
        scene: One of :data:`SCENES`; in rows of fine-tuning the name of an :class:`Amount`.
        kind: What is trained: ``detection``, ``instance`` or ``segmentation``.
        model: A key of :data:`TITLES`.
        label: A key of :data:`BACKBONES`.
        config: A shipped config's name.
    """

    task: str
    scene: str
    kind: str
    model: str
    label: str
    config: str

    @property
    def backbone(self) -> Known:
        """What is known of the backbone."""
        return BACKBONES[self.label]


_FASTER = "detection/faster-rcnn_{}_fpn_1x_coco"
_MASK = "detection/mask-rcnn_{}_fpn_1x_coco"
_CASCADE = "detection/cascade-mask-rcnn_{}_fpn_1x_coco"
_RETINA = "detection/retinanet_{}_fpn_1x_coco"
_SSDLITE = "detection/ssdlite_{}_8xb24-600e_coco"
_VITS = "vit-base dinov2-small dinov3-small"
_DEEPLAB = "segmentation/deeplabv3plus_{}_4xb2-80k_cityscapes-512x1024"
_TUNED = "finetune/faster-rcnn_{}_fpn_1xb4-"
#: Task (for fine-tuning with what is trained), scene or amount, name of the configs, and in it the backbones,
#: the first choice first. Of each task, the scenes follow :data:`SCENES`.
_ROWS = (
    ("detection", "accuracy", _FASTER, "swin-tiny regnety-040"),
    ("detection", "server", _FASTER, "resnet50 resnet101"),
    ("detection", "server", _RETINA, "resnet50 resnet101"),
    (
        "detection",
        "foundation",
        "finetune/faster-rcnn_{}_simple-pyramid_1xb4-frozen-24e_coco",
        "dinov2-small",
    ),
    ("detection", "mobile", _SSDLITE, "mobilenetv3-large mobilenetv3-large-scratch shufflenetv2"),
    (
        "detection",
        "mobile",
        "detection/yolov4-tiny_{}_8xb8-273e_coco",
        "cspdarknet53-tiny mobilenetv3-large shufflenetv2",
    ),
    (
        "detection",
        "mobile",
        "detection/efficientdet-d0_{}_bifpn_8xb16-300e_coco",
        "efficientnet-b0 mobilenetv3-large shufflenetv2",
    ),
    ("detection", "mobile", _FASTER, "mobilenetv3-large shufflenetv2"),
    (
        "detection",
        "edge-int8",
        _SSDLITE,
        "mobilenetv3-large-minimal efficientnet-lite0 regnetx-040 mobilenetv2",
    ),
    (
        "detection",
        "edge-int8",
        _RETINA,
        "mobilenetv3-large-minimal efficientnet-lite0 regnetx-040 mobilenetv2",
    ),
    ("instance", "accuracy", _CASCADE, "swin-tiny regnety-040"),
    ("instance", "accuracy", _MASK, "swin-tiny regnety-040"),
    (
        "instance",
        "accuracy",
        "segmentation/mask2former-instance_{}_8xb2-lsj-50e_coco",
        "swin-tiny resnet50",
    ),
    ("instance", "server", _MASK, "resnet50 resnet101"),
    ("instance", "foundation", "detection/cascade-mask-rcnn_{}_simple-pyramid_1x_coco", _VITS),
    ("instance", "foundation", "detection/mask-rcnn_{}_simple-pyramid_1x_coco", _VITS),
    ("segmentation", "accuracy", "segmentation/upernet_{}_8xb2-160k_ade20k-512x512", "swin-tiny"),
    ("segmentation", "accuracy", "segmentation/upernet_{}_4xb4-80k_ade20k-512x512", "regnety-080"),
    ("segmentation", "accuracy", "segmentation/maskformer_{}_8xb2-160k_ade20k-512x512", "regnety-080"),
    (
        "segmentation",
        "accuracy",
        "segmentation/mask2former_{}_8xb2-160k_ade20k-512x512",
        "swin-tiny resnet50",
    ),
    (
        "segmentation",
        "server",
        _DEEPLAB,
        "resnet50-d8 resnet101-d8 resnet50c-d8 resnet101c-d8 xception65-d16",
    ),
    ("segmentation", "server", "segmentation/unetpp_{}_4xb2-80k_cityscapes-512x1024", "resnet50 resnet101"),
    (
        "segmentation",
        "foundation",
        "segmentation/upernet_{}_8xb2-160k_ade20k-512x512",
        "dinov2-small dinov3-small",
    ),
    (
        "segmentation",
        "foundation",
        "segmentation/linear_{}_8xb2-40k_ade20k-512x512",
        "dinov2-small dinov3-small",
    ),
    (
        "segmentation",
        "realtime",
        "segmentation/bisenet_{}_4xb4-160k_cityscapes-1024x1024",
        "mobilenetv2 shufflenetv2 resnet18",
    ),
    (
        "segmentation",
        "realtime",
        "segmentation/swiftnet_{}_1xb14-40k_cityscapes-768x768",
        "mobilenetv2 shufflenetv2 resnet18",
    ),
    (
        "segmentation",
        "realtime",
        "segmentation/swiftnet-s8_{}_1xb14-40k_cityscapes-768x768",
        "shufflenetv2",
    ),
    ("finetune detection", "hundreds", _TUNED + "hundreds-24e_coco", "swin-tiny"),
    ("finetune detection", "thousands", _TUNED + "thousands-24e_coco", "vgg16 densenet121"),
    (
        "finetune detection",
        "tens-of-thousands",
        _TUNED + "tens-of-thousands-24e_coco",
        "resnet50 efficientnet-b0",
    ),
    (
        "finetune segmentation",
        "hundreds",
        "finetune/upernet_{}_1xb8-hundreds-20k_ade20k-512x512",
        "swin-tiny",
    ),
    (
        "finetune segmentation",
        "thousands",
        "finetune/deeplabv3plus_{}_1xb8-thousands-20k_ade20k-512x512",
        "vgg16-d16 densenet121-d16",
    ),
    (
        "finetune segmentation",
        "tens-of-thousands",
        "finetune/deeplabv3plus_{}_1xb8-tens-of-thousands-80k_ade20k-512x512",
        "resnet50-d16 efficientnet-b0-d16",
    ),
)


@cache
def choices() -> tuple[Choice, ...]:
    """All entries, of each task the most accurate scene first and in it the first choice first."""
    found = []
    for tasks, scene, pattern, words in _ROWS:
        task, _, kind = tasks.partition(" ")
        model = pattern.partition("/")[2].partition("_")[0]
        for word in words.split():
            label = re.sub(r"-d(8|16)$", "", word)  # the output stride is the config's
            found.append(Choice(task, scene, kind or task, model, label, pattern.format(word)))
    return tuple(found)


def scenes_of(task: str) -> list[str]:
    """The scenes that a task has rows for; of ``finetune`` the amounts."""
    return list(dict.fromkeys(choice.scene for choice in choices() if choice.task == task))


def amount_for(images: int) -> Amount:
    """The amount that a number of training images is."""
    return next(amount for amount in AMOUNTS if amount.below is None or images < amount.below)
