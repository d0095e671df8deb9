"""``python -m mmbackbones.bench.detectors``: whole models at full size, ours against the stock config.

A step of training is preprocessing, losses and backward of a batch; inference is ``test_step`` of one image,
from the loaded image to boxes or labels. Both sides have the same neck and heads and, without mmcv's compiled
operators, the same operators but one: the stock model's RoIAlign is torchvision's, compiled as mmcv's own is.
Sides take turns as in :mod:`.peers`. Weights and images are random, with a few boxes each, so inference has
near to no detections to merge.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from torch import nn

from ..engine.layout import fold_norms, join_norms, use_faster_format
from ..engine.timing import in_turn, print_table
from ..surgery.depthwise import take_quick_gradients
from .machine import devices, machine, write_figures
from .peers import figures, shown

#: Stock config, our backbone, and height and width of the images, by what it is.
MODELS: dict[str, tuple[str, str, tuple[int, int]]] = {
    "Faster R-CNN R50": ("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco", "resnet50", (800, 1344)),
    "RetinaNet R50": ("mmdet::retinanet/retinanet_r50_fpn_1x_coco", "resnet50", (800, 1344)),
    "DeepLabV3+ R50": (
        "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024",
        "timm:resnet50c",
        (512, 1024),
    ),
}
_BOXES = 8
_SCALES = {"cpu": 0.4, "cuda": 1.0}


def models(name: str, device: str) -> tuple[nn.Module, nn.Module]:
    """The stock model and ours, with random weights, on ``device``; ours laid out as the commands do."""
    from mmengine.config import Config
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS as REGISTRY
    from mmengine.registry import init_default_scope

    from ..compose.configs import kind, load_config, walk
    from ..compose.swap import swap

    config, backbone, _ = MODELS[name]
    stock: Config = load_config(config)
    init_default_scope(stock.default_scope)
    built = []
    ours = swap(stock, backbone, pretrained=False)
    for key in ("frozen_stages", "norm_eval"):  # which nobody asks for with random weights
        if key in stock.model.backbone:
            ours.model.backbone[key] = stock.model.backbone[key]
    for _, node in walk(stock.model):
        if kind(node) == "RoIAlign":
            node["use_torchvision"] = True  # mmcv's own word for it
    for cfg in (stock, ours):
        cfg.model.backbone.init_cfg = None
        cfg.model.pop("pretrained", None)
        net = revert_sync_batchnorm(REGISTRY.build(cfg.model)).to(device)
        net.eval()
        built.append(net)
    use_faster_format(built[1], device)
    take_quick_gradients(built[1])
    return built[0], built[1]


def batch_of(name: str, count: int, scale: float) -> dict[str, Any]:
    """Random images and what is to be learned of them, as a data loader gives them.

    Args:
        name: a key of :data:`MODELS`.
        count: of images.
        scale: of the model's size.
    """
    from mmengine.structures import InstanceData, PixelData

    high, wide = (int(scale * side) // 32 * 32 for side in MODELS[name][2])
    rng = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, high, wide), generator=rng, dtype=torch.uint8) for _ in range(count)]
    meta: dict[str, Any] = {"ori_shape": (high, wide), "img_shape": (high, wide), "pad_shape": (high, wide)}
    meta |= {"batch_input_shape": (high, wide), "scale_factor": (1.0, 1.0)}
    samples: list[Any] = []
    for _ in images:
        if "DeepLab" in name:
            from mmseg.structures import SegDataSample

            labels = torch.randint(0, 19, (1, high, wide), generator=rng)
            samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=meta))
            continue
        from mmdet.structures import DetDataSample

        corner = torch.rand(_BOXES, 2, generator=rng) * torch.tensor([wide / 2, high / 2])
        boxes = torch.cat([corner, corner + 32 + torch.rand(_BOXES, 2, generator=rng) * high / 3], 1)
        truth = InstanceData(bboxes=boxes, labels=torch.randint(0, 80, (_BOXES,), generator=rng))
        samples.append(DetDataSample(gt_instances=truth, metainfo=meta))
    return {"inputs": images, "data_samples": samples}


def train(net: Any, batch: dict[str, Any], device: str, bf16: bool) -> None:
    """A step: preprocessing, losses, gradients."""
    with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
        data = net.data_preprocessor(batch, True)
        total, _ = net.parse_losses(net(**data, mode="loss"))
    net.zero_grad()
    total.backward()


def _test(net: Any, batch: dict[str, Any], device: str, bf16: bool) -> None:
    with torch.no_grad(), torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
        net.test_step(batch)


def measure(name: str, device: str, count: int, scale: float, turns: int) -> list[dict[str, Any]]:
    """A row for training and one for inference: milliseconds of both sides, and ratios in each turn."""
    rows = []
    for what, step, images in (("training", train, count), ("inference", _test, 1)):
        stock, ours = models(name, device)
        batch = batch_of(name, images, scale)
        if what == "training":
            join_norms(ours)
            for net in (stock, ours):
                net.train()
        else:
            fold_norms(ours)
        calls: dict[str, Callable[[], None]] = {
            "stock": partial(step, stock, batch, device, False),
            "ours": partial(step, ours, batch, device, False),
            "ours, bf16": partial(step, ours, batch, device, True),
        }
        seconds = in_turn(calls, turns, warm_up=2)
        row: dict[str, Any] = {"model": name, "what": what, "device": device, "images": images}
        row["size"] = "x".join(str(side) for side in reversed(batch["inputs"][0].shape[1:]))
        for side, found in seconds.items():
            row[f"{side}, ms"] = 1e3 * median(found)
            if side != "stock":
                row[f"{side}, times faster"] = figures(
                    [a / b for a, b in zip(seconds["stock"], found, strict=True)]
                )
        rows.append(row)
    return rows


def main(
    scale: Annotated[
        float | None,
        typer.Option(
            help="Of the models' own image size; default: 0.4 on a CPU, 1 on a GPU.", show_default=False
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images of a training step.")] = 2,
    turns: Annotated[int, typer.Option(help="Measured turns.")] = 9,
    quick: Annotated[bool, typer.Option("--quick", help="Few turns on small images.")] = False,
    model: Annotated[list[str] | None, typer.Option(help="Which models; default: all.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: all that are here.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
) -> None:
    """Print time and ratios of training and inference of whole models. No pass or fail.

    Example: python -m mmbackbones.bench.detectors --device cpu --out detectors.json
    """
    warnings.simplefilter("ignore")  # of mmengine, mmdet and mmseg, about their own old spellings
    unknown = set(model or ()) - MODELS.keys()
    if unknown:
        raise typer.BadParameter(f"--model {', '.join(sorted(unknown))}: known are {', '.join(MODELS)}.")
    if quick:
        scale, turns = min(scale or 1.0, 0.16), min(turns, 3)
    head = ["model", "what", "images", "stock, ms", "ours, ms", "times faster", "bf16, ms", "times faster"]
    found: list[dict[str, Any]] = []
    for where in devices(device):
        rows = []
        for name in model or MODELS:
            rows += measure(name, where, batch, scale or _SCALES[where], turns)
            write_figures(out, [*found, *rows], turns=turns)
        print_table(f"Whole models on {where}: {machine()}", head, [_cells(row) for row in rows])
        found += rows


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [row["model"], row["what"], f"{row['images']} of {row['size']}", f"{row['stock, ms']:.1f}"]
    for side in ("ours", "ours, bf16"):
        cells += [f"{row[f'{side}, ms']:.1f}", shown(row[f"{side}, times faster"])]
    return cells


if __name__ == "__main__":
    typer.run(main)
