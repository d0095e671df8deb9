"""Which of torchvision's detectors and segmentors convert: of each the config, and whose name is whose."""

from __future__ import annotations

from dataclasses import dataclass, field

Rules = dict[str, str]


@dataclass(frozen=True)
class Classes:
    """A layer of ours that has values for each class: ``(anchors * classes * values, ...)``.

    Attributes:
        name: of the layer.
        anchors: of a cell.
        values: of a class, 4 where each has boxes of its own.
        background: whether the background, the first class at torchvision, becomes the last one.
        first: the first class that stays: 1 leaves the background out, which nobody reads; 0 keeps it, where
            it is a class like any other.
    """

    name: str
    anchors: int = 1
    values: int = 1
    background: bool = False
    first: int = 1


@dataclass(frozen=True, eq=False)
class Row:
    """One of torchvision's models.

    Attributes:
        name: torchvision's.
        config: what the converted weights are for.
        rules: torchvision's names, whole, as patterns, and ours. A file has weights for each of them.
        classes: the layers that have values for each class, that of the scores first.
        num_classes: where the config's model has their number.
        optional: as rules, of the auxiliary head, which a file may lack.
        ones: weights of ours that torchvision does not have, a factor of 1 each.
        eps: what torchvision's own weights are divided with beside the variance, in the batch norms that
            the config freezes without eps; None where it trains them.
    """

    name: str
    config: str
    rules: Rules
    classes: tuple[Classes, ...]
    num_classes: tuple[str, ...] = ("bbox_head.num_classes",)
    optional: Rules = field(default_factory=dict)
    ones: tuple[str, ...] = ()
    eps: float | None = None


def _resnet(depth: int, start: str) -> Rules:
    """Of a ResNet of 50 or 101 layers, which differ in how many blocks the third stage has."""
    blocks = {50: r"[0-5]", 101: r"(?:\d|1\d|2[0-2])"}[depth]
    last = {50: 5, 101: 22}[depth]
    return {
        rf"{start}(layer3\.{last}\..+)": r"backbone.\1",
        rf"{start}((?:conv1|bn1|layer[124]\.[0-2]|layer2\.3|layer3\.{blocks})\..+)": r"backbone.\1",
    }


def _fpn(levels: int, extra: int = 0) -> Rules:
    """With and without the zeros that torchvision writes since 0.14."""
    rules = {
        r"backbone\.fpn\.inner_blocks\.(\d)\.(?:0\.)?(weight|bias)": r"neck.lateral_convs.\1.conv.\2",
        r"backbone\.fpn\.layer_blocks\.(\d)\.(?:0\.)?(weight|bias)": r"neck.fpn_convs.\1.conv.\2",
    }
    for number in range(extra):
        p = rf"backbone\.fpn\.extra_blocks\.p{6 + number}\.(.+)"
        rules[p] = rf"neck.fpn_convs.{levels + number}.conv.\1"
    return rules


def _conv_bn(theirs: str, ours: str, first: int = 0) -> Rules:
    """A convolution and the batch norm behind it."""
    pairs = ((first, "conv"), (first + 1, "bn"))
    return {rf"{theirs}\.{place}\.(?P<what>.+)": rf"{ours}.{name}.\g<what>" for place, name in pairs}


def _convs(theirs: str, ours: str, norm: str = "") -> Rules:
    """A stack of convolutions, each followed by an activation, or by ``norm`` and an activation."""
    names = {0: "conv", **({1: norm} if norm else {})}
    return {
        rf"{theirs}\.(?P<at>\d)\.{place}\.(?P<what>.+)": rf"{ours}.\g<at>.{name}.\g<what>"
        for place, name in names.items()
    }


_RESNET50 = _resnet(50, r"backbone\.body\.")
_ROI_HEADS = {
    r"rpn\.head\.cls_logits\.(.+)": r"rpn_head.rpn_cls.\1",
    r"rpn\.head\.bbox_pred\.(.+)": r"rpn_head.rpn_reg.\1",
    r"roi_heads\.box_predictor\.cls_score\.(.+)": r"roi_head.bbox_head.fc_cls.\1",
    r"roi_heads\.box_predictor\.bbox_pred\.(.+)": r"roi_head.bbox_head.fc_reg.\1",
}
_FASTER_RCNN = {
    **_RESNET50,
    **_fpn(4),
    r"rpn\.head\.conv\.(?:0\.0\.)?(weight|bias)": r"rpn_head.rpn_conv.\1",
    r"roi_heads\.box_head\.fc6\.(.+)": r"roi_head.bbox_head.shared_fcs.0.\1",
    r"roi_heads\.box_head\.fc7\.(.+)": r"roi_head.bbox_head.shared_fcs.1.\1",
    **_ROI_HEADS,
}
_FASTER_RCNN_V2 = {
    **_RESNET50,
    **_conv_bn(r"backbone\.fpn\.inner_blocks\.(\d)", r"neck.lateral_convs.\1"),
    **_conv_bn(r"backbone\.fpn\.layer_blocks\.(\d)", r"neck.fpn_convs.\1"),
    **_convs(r"rpn\.head\.conv", "rpn_head.rpn_conv"),
    **_convs(r"roi_heads\.box_head", "roi_head.bbox_head.shared_convs", "bn"),
    r"roi_heads\.box_head\.5\.(.+)": r"roi_head.bbox_head.shared_fcs.0.\1",
    **_ROI_HEADS,
}
_MASKS = {
    r"roi_heads\.mask_predictor\.conv5_mask\.(.+)": r"roi_head.mask_head.upsample.\1",
    r"roi_heads\.mask_predictor\.mask_fcn_logits\.(.+)": r"roi_head.mask_head.conv_logits.\1",
}
#: With the names until 0.13.
_MASK_HEAD = {
    rf"roi_heads\.mask_head\.(?:{i}\.0|mask_fcn{i + 1})\.(.+)": rf"roi_head.mask_head.convs.{i}.conv.\1"
    for i in range(4)
}
_BOX_CLASSES = (
    Classes("roi_head.bbox_head.fc_cls", background=True),
    Classes("roi_head.bbox_head.fc_reg", values=4),
)
_MASK_CLASSES = (*_BOX_CLASSES, Classes("roi_head.mask_head.conv_logits"))
_OF_BOXES = ("roi_head.bbox_head.num_classes",)
_OF_MASKS = (*_OF_BOXES, "roi_head.mask_head.num_classes")

_HEADS = (("classification", "cls"), ("regression", "reg"))
_RETINANET = {
    r"head\.classification_head\.cls_logits\.(.+)": r"bbox_head.retina_cls.\1",
    r"head\.regression_head\.bbox_reg\.(.+)": r"bbox_head.retina_reg.\1",
}
#: With the names until 0.13, which count the activations too.
_RETINANET_V1 = {
    rf"head\.{theirs}_head\.conv\.(?:{i}\.0|{2 * i})\.(weight|bias)": rf"bbox_head.{ours}_convs.{i}.conv.\1"
    for theirs, ours in _HEADS
    for i in range(4)
}
_RETINANET_V2 = {
    theirs: ours
    for their, our in _HEADS
    for theirs, ours in _convs(rf"head\.{their}_head\.conv", f"bbox_head.{our}_convs", "gn").items()
}
_FCOS = {
    rf"head\.{theirs}_head\.conv\.{3 * i + place}\.(.+)": rf"bbox_head.{ours}_convs.{i}.{name}.\1"
    for theirs, ours in _HEADS
    for i in range(4)
    for place, name in enumerate(("conv", "gn"))
} | {
    r"head\.classification_head\.cls_logits\.(.+)": r"bbox_head.conv_cls.\1",
    r"head\.regression_head\.bbox_reg\.(.+)": r"bbox_head.conv_reg.\1",
    r"head\.regression_head\.bbox_ctrness\.(.+)": r"bbox_head.conv_centerness.\1",
}
_SSDLITE = {
    r"backbone\.features\.0\.(\d|1[0-2])\.(.+)": r"backbone.features.\1.\2",
    r"backbone\.features\.0\.13\.(.+)": r"backbone.features.13.block.0.\1",
    r"backbone\.features\.1\.0\.(.+)": r"backbone.features.13.block.\1",
    **{rf"backbone\.features\.1\.{i}\.(.+)": rf"backbone.features.{13 + i}.\1" for i in (1, 2, 3)},
    **_conv_bn(r"backbone\.extra\.(\d)\.(\d)", r"neck.extra.\1.\2"),
}
for _their, _our in _HEADS:
    _SSDLITE |= _conv_bn(rf"head\.{_their}_head\.module_list\.(\d)\.0", rf"bbox_head.{_our}_convs.\1.0")
    _SSDLITE[rf"head\.{_their}_head\.module_list\.(\d)\.1\.(.+)"] = rf"bbox_head.{_our}_convs.\1.1.\2"

_MOBILENET = {
    r"backbone\.(16\..+)": r"backbone.features.\1",
    r"backbone\.((?:\d|1[0-5])\..+)": r"backbone.features.\1",
}
_FCN = {
    **_conv_bn(r"classifier", "decode_head.convs.0"),
    r"classifier\.4\.(.+)": r"decode_head.conv_seg.\1",
}
_AUXILIARY = {
    **_conv_bn(r"aux_classifier", "auxiliary_head.convs.0"),
    r"aux_classifier\.4\.(.+)": r"auxiliary_head.conv_seg.\1",
}
_DEEPLABV3 = {
    **_conv_bn(r"classifier\.0\.convs\.([0-3])", r"decode_head.aspp_modules.\1"),
    **_conv_bn(r"classifier\.0\.convs\.4", "decode_head.image_pool.1", first=1),
    **_conv_bn(r"classifier\.0\.project", "decode_head.project"),
    **_conv_bn(r"classifier", "decode_head.bottleneck", first=1),
    r"classifier\.4\.(.+)": r"decode_head.conv_seg.\1",
}
_LRASPP = {
    **_conv_bn(r"classifier\.cbr", "decode_head.branch"),
    r"classifier\.scale\.1\.(.+)": r"decode_head.gate.\1",
    r"classifier\.low_classifier\.(.+)": r"decode_head.fine.\1",
    r"classifier\.high_classifier\.(.+)": r"decode_head.conv_seg.\1",
}
_PIXELS = (Classes("decode_head.conv_seg", first=0),)
_OF_PIXELS = ("decode_head.num_classes", "auxiliary_head.num_classes")
_COCO = "detection/{}_resnet50_fpn_1x_coco".format
_VOC = "segmentation/{}_4xb4-40k_voc12aug-512x512".format


def _segmentor(name: str, config: str, rules: Rules) -> Row:
    return Row(name, _VOC(config), rules, _PIXELS, _OF_PIXELS, _AUXILIARY)


ROWS = (
    Row(
        "fasterrcnn_resnet50_fpn",
        _COCO("faster-rcnn-torchvision"),
        _FASTER_RCNN,
        _BOX_CLASSES,
        _OF_BOXES,
        eps=0.0,
    ),
    Row(
        "fasterrcnn_resnet50_fpn_v2",
        _COCO("faster-rcnn-torchvision-v2"),
        _FASTER_RCNN_V2,
        _BOX_CLASSES,
        _OF_BOXES,
    ),
    Row(
        "maskrcnn_resnet50_fpn",
        _COCO("mask-rcnn-torchvision"),
        {**_FASTER_RCNN, **_MASK_HEAD, **_MASKS},
        _MASK_CLASSES,
        _OF_MASKS,
        eps=0.0,
    ),
    Row(
        "maskrcnn_resnet50_fpn_v2",
        _COCO("mask-rcnn-torchvision-v2"),
        {**_FASTER_RCNN_V2, **_convs(r"roi_heads\.mask_head", "roi_head.mask_head.convs", "bn"), **_MASKS},
        _MASK_CLASSES,
        _OF_MASKS,
    ),
    Row(
        "retinanet_resnet50_fpn",
        _COCO("retinanet-torchvision"),
        {**_RESNET50, **_fpn(3, 2), **_RETINANET_V1, **_RETINANET},
        (Classes("bbox_head.retina_cls", anchors=9),),
        eps=0.0,
    ),
    Row(
        "retinanet_resnet50_fpn_v2",
        _COCO("retinanet-torchvision-v2"),
        {**_RESNET50, **_fpn(3, 2), **_RETINANET_V2, **_RETINANET},
        (Classes("bbox_head.retina_cls", anchors=9),),
    ),
    Row(
        "fcos_resnet50_fpn",
        _COCO("fcos-torchvision"),
        {**_RESNET50, **_fpn(3, 2), **_FCOS},
        (Classes("bbox_head.conv_cls"),),
        ones=tuple(f"bbox_head.scales.{level}.scale" for level in range(5)),
        eps=1e-5,
    ),
    Row(
        "ssdlite320_mobilenet_v3_large",
        "detection/ssdlite-torchvision_mobilenetv3-large-scratch_8xb24-600e_coco",
        _SSDLITE,
        tuple(Classes(f"bbox_head.cls_convs.{i}.1", anchors=6, background=True) for i in range(6)),
    ),
    _segmentor(
        "deeplabv3_resnet50",
        "deeplabv3-torchvision_resnet50-d8",
        {**_resnet(50, r"backbone\."), **_DEEPLABV3},
    ),
    _segmentor(
        "deeplabv3_resnet101",
        "deeplabv3-torchvision_resnet101-d8",
        {**_resnet(101, r"backbone\."), **_DEEPLABV3},
    ),
    _segmentor(
        "deeplabv3_mobilenet_v3_large",
        "deeplabv3-torchvision_mobilenetv3-large-d16",
        {**_MOBILENET, **_DEEPLABV3},
    ),
    _segmentor("fcn_resnet50", "fcn-torchvision_resnet50-d8", {**_resnet(50, r"backbone\."), **_FCN}),
    _segmentor("fcn_resnet101", "fcn-torchvision_resnet101-d8", {**_resnet(101, r"backbone\."), **_FCN}),
    Row(
        "lraspp_mobilenet_v3_large",
        _VOC("lraspp-torchvision_mobilenetv3-large-d16"),
        {**_MOBILENET, **_LRASPP},
        _PIXELS,
        ("decode_head.num_classes",),
    ),
)
