"""Trains torchvision's Faster R-CNN, converts it, and compares both: a table of docs/results.md.

    python docs/torchvision_detector.py --data DIR --work-dir work_dirs/torchvision

``--data`` is a COCO folder with ``images/``, ``train.json`` and ``val.json``. The training starts from
random weights; when its file is there, it is not repeated. Images of 640 x 480 become 242 x 182: as at the
usual 1333 x 800, mmdet's resizing rounds their width up and torchvision's down.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import time
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.ops import box_iou
from torchvision.transforms.functional import to_tensor

from mmbackbones.compose.configs import load_config
from mmbackbones.compose.scale import set_scale
from mmbackbones.engine.load import load_predictor
from mmbackbones.weights.torchvision_models import checkpoint_of

SHORT, LONG = 182, 243
STEPS, BATCH, LR = 240, 4, 4e-4
Found = dict[int, tuple[Tensor, ...]]  # boxes, labels (0 is the first class) and scores by image id

# What the config takes from torchvision, and a row of the table gives back to mmdet.
ANCHORS, ALIGN = ("model.rpn_head.anchor_generator",), ("model.roi_head.bbox_roi_extractor.roi_layer",)
RESIZE = ("test_dataloader.dataset.pipeline",)
ROWS = {
    "ours": (),
    "ours, mmdet's anchors": ANCHORS,
    "ours, mmdet's RoIAlign": ALIGN,
    "ours, mmdet's resizing": RESIZE,
    "ours, all three": ANCHORS + ALIGN + RESIZE,
}


def images_of(file: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Path, id, boxes (x1 y1 x2 y2) and labels (1 is the first class) of the images; ids of the classes."""
    content = json.loads(file.read_text())
    ids = sorted(category["id"] for category in content["categories"])
    folder = file.parent / "images"
    found = {i["id"]: dict(i, path=folder / i["file_name"], boxes=[], labels=[]) for i in content["images"]}
    for thing in content["annotations"]:
        x, y, width, height = thing["bbox"]
        if min(width, height) > 1:
            found[thing["image_id"]]["boxes"].append([x, y, x + width, y + height])
            found[thing["image_id"]]["labels"].append(ids.index(thing["category_id"]) + 1)
    return list(found.values()), ids


def opened(path: Path) -> Tensor:
    """(3, H, W), RGB, 0..1."""
    return to_tensor(Image.open(path).convert("RGB"))


def train(model: nn.Module, images: list[dict[str, Any]]) -> None:
    """AdamW with one cycle of the learning rate."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS, pct_start=0.1)
    images = [image for image in images if image["boxes"]]
    for step in range(1, STEPS + 1):
        batch = random.sample(images, BATCH)
        targets = [{what: torch.tensor(image[what]) for what in ("boxes", "labels")} for image in batch]
        loss = sum(model.train()([opened(image["path"]) for image in batch], targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.3f}, {time.process_time():.0f} s", flush=True)


def ours(file: Path, given_back: tuple[str, ...], images: list[dict[str, Any]], ids: list[int]) -> Found:
    """What our detector finds with the weights in ``file``, converted."""
    converted = file.with_name("converted.pth")
    made = checkpoint_of(file, [str(number) for number in ids])
    torch.save(made.checkpoint, converted)
    cfg, mmdets = load_config(made.row.config), load_config("detection/faster-rcnn_resnet50_fpn_1x_coco")
    for path in given_back:
        *above, last = path.split(".")
        reduce(getattr, above, cfg)[last] = reduce(getattr, above, mmdets)[last]
    cfg.model.roi_head.bbox_head.num_classes = len(ids)
    set_scale(cfg, (LONG, SHORT))
    predict = load_predictor(cfg, converted, "cpu", 0.0)
    results = {image["id"]: predict(image["path"]) for image in images}
    return {i: tuple(map(torch.from_numpy, (r.boxes, r.labels, r.scores))) for i, r in results.items()}


def map50(file: Path, ids: list[int], found: Found) -> float:
    """COCO's AP at IoU 0.5."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rows = [
        dict(image_id=image, category_id=ids[label], bbox=[x, y, right - x, bottom - y], score=score)
        for image, parts in found.items()
        for (x, y, right, bottom), label, score in zip(*(part.tolist() for part in parts), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(file))
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1])


def shared(theirs: Found, own: Found, least: float = 0.5) -> tuple[float, float]:
    """The share of their boxes above ``least`` of which ours have one of the same class with IoU > 0.9, and
    the largest difference of the scores of such two."""
    pairs = []
    for image, (boxes, labels, scores) in theirs.items():
        own_boxes, own_labels, own_scores = own[image]
        iou = box_iou(boxes, own_boxes) * (labels[:, None] == own_labels)
        best, which = torch.cat([iou, torch.zeros(len(iou), 1)], 1).max(1)
        other = torch.cat([own_scores, torch.zeros(1)])[which]
        pairs.append(torch.stack([best, (scores - other).abs()], 1)[scores > least])
    best, difference = torch.cat(pairs).unbind(1)
    return float((best > 0.9).float().mean()), max(difference[best > 0.9].tolist(), default=0.0)


def main() -> None:
    """Train what is missing, then show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    given = parser.parse_args()
    given.work_dir.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    random.seed(0)
    images, ids = images_of(given.data / "train.json")
    sizes = dict(min_size=SHORT, max_size=LONG, box_batch_size_per_image=64)
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=len(ids) + 1, **sizes)
    file = given.work_dir / "torchvision.pth"
    if not file.is_file():
        train(model, images)
        torch.save(model.state_dict(), file)
    model.load_state_dict(torch.load(file, weights_only=True))
    model.eval()
    images, _ = images_of(given.data / "val.json")
    with torch.no_grad():
        raw = {image["id"]: model([opened(image["path"])])[0] for image in images}
    theirs = {image: (row["boxes"], row["labels"] - 1, row["scores"]) for image, row in raw.items()}
    print("| | mAP50 | boxes > 0.5 | shared | largest difference of a score |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in ("torchvision", *ROWS):
        own = theirs if name == "torchvision" else ours(file, ROWS[name], images, ids)
        count = sum(int((scores > 0.5).sum()) for *_, scores in own.values())
        share, difference = shared(theirs, own)
        ap = map50(given.data / "val.json", ids, own)
        print(f"| {name} | {ap:.4f} | {count} | {share:.2%} | {difference:.1e} |", flush=True)
    print(f"processor time: {time.process_time():.0f} s")


if __name__ == "__main__":
    main()
