"""Writes ``configs/<folder>/metafile.yml`` anew, in OpenMMLab's format, and the index of them that ``mim``
reads in an installed package, ``model-index.yml``: ``python docs/metafiles.py``.

Parameters are counted on the meta device, results are read from the tables of ``docs/results.md``; nothing
is typed here but where a figure stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
RESULTS = ROOT / "docs" / "results.md"
INDEX = ROOT / "plugin" / "model-index.yml"
FOLDERS = ("detection", "segmentation", "finetune")
#: Title and arXiv id of each algorithm, as the names of the configs begin.
PAPERS = {
    "bisenet": (
        "BiSeNet",
        "Bilateral Segmentation Network for Real-time Semantic Segmentation",
        "1808.00897",
    ),
    "cascade-mask-rcnn": (
        "Cascade R-CNN",
        "Cascade R-CNN: Delving into High Quality Detection",
        "1712.00726",
    ),
    "deeplabv3": ("DeepLabV3", "Rethinking Atrous Convolution for Semantic Image Segmentation", "1706.05587"),
    "deeplabv3plus": ("DeepLabV3+", "Encoder-Decoder with Atrous Separable Convolution", "1802.02611"),
    "efficientdet-d0": (
        "EfficientDet",
        "EfficientDet: Scalable and Efficient Object Detection",
        "1911.09070",
    ),
    "faster-rcnn": ("Faster R-CNN", "Faster R-CNN: Towards Real-Time Object Detection", "1506.01497"),
    "fcn": ("FCN", "Fully Convolutional Networks for Semantic Segmentation", "1411.4038"),
    "fcos": ("FCOS", "FCOS: Fully Convolutional One-Stage Object Detection", "1904.01355"),
    "linear": ("Linear head", "DINOv2: Learning Robust Visual Features without Supervision", "2304.07193"),
    "lraspp": ("LR-ASPP", "Searching for MobileNetV3", "1905.02244"),
    "mask-rcnn": ("Mask R-CNN", "Mask R-CNN", "1703.06870"),
    "mask2former": ("Mask2Former", "Masked-attention Mask Transformer for Image Segmentation", "2112.01527"),
    "maskformer": ("MaskFormer", "Per-Pixel Classification is Not All You Need", "2107.06278"),
    "retinanet": ("RetinaNet", "Focal Loss for Dense Object Detection", "1708.02002"),
    "ssdlite": ("SSDLite", "MobileNetV2: Inverted Residuals and Linear Bottlenecks", "1801.04381"),
    "swiftnet": ("SwiftNet", "In Defense of Pre-trained ImageNet Architectures", "1903.08469"),
    "unetpp": ("U-Net++", "UNet++: A Nested U-Net Architecture", "1807.10165"),
    "upernet": ("UPerNet", "Unified Perceptual Parsing for Scene Understanding", "1807.10221"),
    "yolov4-tiny": ("YOLOv4-tiny", "Scaled-YOLOv4: Scaling Cross Stage Partial Network", "2011.08036"),
}
BOXES, MASKS, PIXELS = "Object Detection", "Instance Segmentation", "Semantic Segmentation"


class Measured(NamedTuple):
    """Where a figure stands in ``docs/results.md``: heading, first cells of the row, column by metric."""

    config: str
    dataset: str
    heading: str
    row: tuple[str, ...]
    metrics: Mapping[tuple[str, str], int]


AP = {(BOXES, "box AP50"): 1, (BOXES, "box AP"): 2}
_BCCD = "BCCD blood cells, "
_DET = "detection/{}_1xb8-8e_coco-160x160".format
_SEG = "segmentation/{}_1xb8-8k_cityscapes-360x480".format


def _shifted(columns: int, *, masks: bool = False) -> dict[tuple[str, str], int]:
    found = {metric: column + columns for metric, column in AP.items()}
    return {**found, (MASKS, "mask AP"): 3 + columns} if masks else found


MEASURED = (
    Measured(_DET("faster-rcnn_mobilenetv3-large-scratch_fpn"), "generated shapes", "The demo", ("6",), AP),
    Measured(_DET("faster-rcnn_mobilenetv3-large-scratch_fpn"), "BCCD", f"{_BCCD}Faster R-CNN", ("12",), AP),
    Measured(_DET("ssdlite_mobilenetv3-large-scratch"), "BCCD", f"{_BCCD}one-stage", ("12",), AP),
    Measured(
        _DET("yolov4-tiny_cspdarknet53-tiny-scratch"), "BCCD", f"{_BCCD}one-stage", ("12",), _shifted(2)
    ),
    Measured(
        _DET("efficientdet-d0_mobilenetv3-large-scratch_bifpn"),
        "BCCD",
        f"{_BCCD}one-stage",
        ("11",),
        _shifted(4),
    ),
    Measured(_DET("retinanet_mobilenetv3-large-scratch_fpn"), "BCCD", f"{_BCCD}RetinaNet", ("12",), AP),
    Measured(
        _DET("mask-rcnn_mobilenetv3-large-scratch_fpn"),
        "BCCD",
        f"{_BCCD}RetinaNet",
        ("12",),
        _shifted(2, masks=True),
    ),
    Measured(
        _DET("cascade-mask-rcnn_mobilenetv3-large-scratch_fpn"),
        "BCCD",
        f"{_BCCD}RetinaNet",
        ("8",),
        _shifted(5, masks=True),
    ),
    Measured(
        _DET("ssdlite_mobilenetv3-large-minimal-scratch"),
        "BCCD",
        "INT8",
        ("MobileNetV3-Large `minimal`", "no", "32 bits"),
        _shifted(4),
    ),
    Measured(
        "detection/faster-rcnn-torchvision_resnet50_fpn_1x_coco",
        "BCCD",
        "torchvision's Faster R-CNN",
        ("`detection/faster-rcnn-torchvision_resnet50_fpn_1x_coco`",),
        {(BOXES, "box AP50"): 1},
    ),
    *(
        Measured(_SEG(config), "CamVid", "CamVid", (row,), {(PIXELS, "mIoU"): 1, (PIXELS, "aAcc"): 2})
        for config, row in {
            "deeplabv3plus_resnet18-scratch-d16": "DeepLabV3+",
            "unetpp_resnet18-scratch": "U-Net++",
            "bisenet_resnet18-scratch": "BiSeNet",
            "swiftnet_resnet18-scratch": "SwiftNet",
            "linear_resnet18-scratch-d16": "linear head",
            "upernet_swin-tiny-scratch": "UPerNet",
            "maskformer_resnet18-scratch": "MaskFormer",
            "mask2former_resnet18-scratch": "Mask2Former",
        }.items()
    ),
)


def results_of(config: str, text: str) -> list[dict[str, Any]]:
    """The measured results of a config, in percent, as the page ``text`` has them."""
    found: list[dict[str, Any]] = []
    for measured in MEASURED:
        if measured.config != config:
            continue
        heading, cells = _row(text, measured.heading, measured.row)
        for (task, metric), column in measured.metrics.items():
            value = float(cells[column].rpartition(",")[2])  # the last of several epochs
            value = round(100 * value, 2) if measured.dataset != "CamVid" else value  # else a fraction
            source = f"docs/results.md, {heading}"
            if found and (found[-1]["Task"], found[-1]["Source"]) == (task, source):
                found[-1]["Metrics"][metric] = value
                continue
            found.append(
                {"Task": task, "Dataset": measured.dataset, "Metrics": {metric: value}, "Source": source}
            )
    return found


def _row(text: str, heading: str, first: tuple[str, ...]) -> tuple[str, list[str]]:
    """The heading of the section that begins with ``heading``, and the cells of its row ``first``."""
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        title, _, body = section.partition("\n")
        if title.startswith(heading):
            for line in body.splitlines():
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                if line.startswith("|") and tuple(cells[: len(first)]) == first:
                    return title, cells
    raise ValueError(f"{RESULTS.name} has no row {first} below '{heading}'")


def parameters_of(name: str) -> int:
    """Parameters of the model of a shipped config, auxiliary heads included, counted without values."""
    import torch
    from mmengine.registry import MODELS, init_default_scope

    from mmbackbones.compose.configs import load_config

    cfg = load_config(name)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        return sum(value.numel() for value in MODELS.build(cfg.model).parameters())


def metafile(folder: str, parameters: Mapping[str, int]) -> str:
    """The text of a folder's metafile; ``parameters`` by the config's name."""
    page = RESULTS.read_text(encoding="utf-8")
    models, used = [], set()
    for path in sorted((CONFIGS / folder).glob("*.py")):
        name = f"{folder}/{path.stem}"
        algorithm = max((paper for paper in PAPERS if path.stem.startswith(paper)), key=len)
        used.add(algorithm)
        model: dict[str, Any] = {
            "Name": path.stem,
            "In Collection": PAPERS[algorithm][0],
            "Config": f"configs/{name}.py",
            "Metadata": {"Parameters": parameters[name]},
        }
        if results := results_of(name, page):
            model["Results"] = results
        models.append(model)
    collections = [
        {
            "Name": title,
            "Paper": {"Title": paper, "URL": f"https://arxiv.org/abs/{arxiv}"},
            "README": f"configs/{folder}/README.md",
        }
        for title, paper, arxiv in (PAPERS[algorithm] for algorithm in sorted(used))
    ]
    content = {"Collections": collections, "Models": models}
    return _written(content)


def model_index() -> str:
    """The text of the index; its paths are those of the installed package, as ``mim`` takes them."""
    return _written({"Import": [f"configs/{folder}/metafile.yml" for folder in FOLDERS]})


def _written(content: Mapping[str, Any]) -> str:
    return "# Written by `python docs/metafiles.py`.\n" + yaml.safe_dump(content, sort_keys=False, width=110)


if __name__ == "__main__":
    from mmbackbones.compose.configs import shipped_names

    for folder in FOLDERS:
        names = [name for name in shipped_names("mmbackbones") if name.startswith(f"{folder}/")]
        text = metafile(folder, {name: parameters_of(name) for name in names})
        (CONFIGS / folder / "metafile.yml").write_text(text, encoding="utf-8")
    INDEX.write_text(model_index(), encoding="utf-8")
