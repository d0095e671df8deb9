"""Run the exported model of this folder on images: ``python run.py photo.jpg ...``.

Needs onnxruntime, numpy and Pillow, and ``model.json`` beside it, which says what goes in and what comes out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Model:
    """Calls give ``boxes``, ``scores``, ``labels``, ``classes`` and of instance masks ``masks`` (n, height,
    width); for segmentation a ``label_map``."""

    def __init__(self, folder: Path = Path(__file__).parent, file: str = "model.onnx") -> None:
        self.facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.session = onnxruntime.InferenceSession(str(folder / file), providers=["CPUExecutionProvider"])

    def __call__(self, path: str | Path, score_thr: float = 0.3) -> dict[str, Any]:
        image = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        small = self.shrink(image)
        given = {"image": self.pad(small)}
        if "sides" in self.facts:  # the model chooses among its boxes
            given["sides"] = np.array(small.shape[:2], np.float32)
        answers = self.session.run(None, given)
        named = dict(zip(self.facts["outputs"], (answer[0] for answer in answers), strict=True))
        if "logits" in named:
            inside = named["logits"][:, : small.shape[0], : small.shape[1]].transpose(1, 2, 0)
            logits = resize(inside, image.shape[0], image.shape[1], self.facts["align_corners"])
            threshold = self.facts["threshold"]  # of models with one logit for two classes
            one = logits.argmax(2) if threshold is None else 1 / (1 + np.exp(-logits[..., 0])) > threshold
            return {"label_map": one.astype(np.uint8 if len(self.facts["classes"]) <= 256 else np.uint16)}
        if "labels" in named:
            return self.place(named, image.shape, small.shape, score_thr)
        return self.choose(named, image.shape, small.shape, score_thr)

    def shrink(self, image: np.ndarray) -> np.ndarray:
        """To the size that the model was trained with, as ``resize`` in model.json says."""
        wide, high = self.facts["resize"]["width"], self.facts["resize"]["height"]
        if self.facts["resize"]["keep_ratio"]:
            long, short = max(image.shape[:2]), min(image.shape[:2])
            scale = min(max(wide, high) / long, min(wide, high) / short)
            high, wide = (int(side * scale + 0.5) for side in image.shape[:2])
        if self.facts["resize"]["as"] == "pillow":
            return np.asarray(Image.fromarray(image).resize((wide, high), Image.Resampling.BILINEAR))
        return resize_photo(image, high, wide)

    def pad(self, small: np.ndarray) -> np.ndarray:
        """(1, 3, H, W) as the model takes it: BGR, 0..255, filled up below and on the right."""
        (high, wide), facts = small.shape[:2], self.facts["input"]
        by = facts["multiple_of"]
        target = (facts["height"] or -(-high // by) * by, facts["width"] or -(-wide // by) * by)
        if high > target[0] or wide > target[1]:
            raise ValueError(
                f"{wide}x{high} does not fit into {target[1]}x{target[0]}: export with --dynamic."
            )
        whole = np.empty((*target, 3), np.float32)
        whole[:] = facts["padding"]
        whole[:high, :wide] = small[..., ::-1]
        return whole.transpose(2, 0, 1)[None]

    def place(self, named: dict[str, Any], image: Any, small: Any, score_thr: float) -> dict[str, Any]:
        """What the model has chosen, in pixels of the image."""
        kept = named["scores"] >= score_thr
        boxes = named["boxes"][kept] * (np.array(image[1::-1]) / small[1::-1])[[0, 1, 0, 1]]
        found = {"boxes": boxes, "scores": named["scores"][kept], "labels": named["labels"][kept]}
        found["classes"] = [self.facts["classes"][label] for label in found["labels"]]
        if "masks" in named:
            sure = [paste(*pair, *image[:2]) for pair in zip(named["masks"][kept], boxes, strict=True)]
            found["masks"] = np.array(sure).reshape(-1, *image[:2]) >= self.facts["mask_threshold"]
        return found

    def choose(self, named: dict[str, Any], image: Any, small: Any, score_thr: float) -> dict[str, Any]:
        """The best boxes of each class that do not overlap, in pixels of the image."""
        rules, scores = self.facts["choose"], named["scores"]
        places, labels = (scores > rules["score_thr"]).nonzero()
        best = np.argsort(-scores[places, labels], kind="stable")[: rules["most_before"]]
        places, labels = places[best], labels[best]
        scores = scores[places, labels] * (named["factors"][places] if "factors" in named else 1)
        limits = np.array([small[1], small[0], small[1], small[0]])
        boxes = np.clip(named["boxes"][places], 0, limits) if rules["clip"] else named["boxes"][places]
        boxes = boxes / limits * np.array([image[1], image[0], image[1], image[0]])
        large = ((boxes[:, 2:] - boxes[:, :2]) > rules["min_size"]).all(1)
        boxes, scores, labels = boxes[large], scores[large], labels[large]
        kept, scores = suppress(boxes, scores, labels, rules)
        kept, scores = kept[: rules["most"]], scores[: rules["most"]]
        kept, scores = kept[scores >= score_thr], scores[scores >= score_thr]
        names = [self.facts["classes"][label] for label in labels[kept]]
        return {"boxes": boxes[kept], "scores": scores, "labels": labels[kept], "classes": names}


def suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, rules: dict[str, Any]) -> Any:
    """Non-maximum suppression, hard or Gaussian: what is kept, best first, and its scores."""
    scores, left, kept = scores.astype(np.float64), np.arange(len(boxes)), []
    while len(left):
        first = left[scores[left].argmax()]
        kept.append(first)
        left = left[left != first]
        sides = np.minimum(boxes[first, 2:], boxes[left, 2:]) - np.maximum(boxes[first, :2], boxes[left, :2])
        both = sides.clip(min=0).prod(1) * (labels[left] == labels[first])
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        overlap = both / np.maximum(area[first] + area[left] - both, 1e-9)
        if rules["nms"] == "gaussian":
            scores[left] *= np.exp(-(overlap**2) / rules["sigma"])
            left = left[scores[left] >= rules["min_score"]]
        else:
            left = left[overlap <= rules["iou_threshold"]]
    order = np.array(kept, int)
    return order, scores[order]


def paste(mask: np.ndarray, box: np.ndarray, high: int, wide: int) -> np.ndarray:
    """``mask`` over its box in an image of (high, wide), bilinear, 0 outside."""

    def weights(low: float, end: float, new: int, old: int) -> np.ndarray:
        at = (np.arange(new) + 0.5 - low) / max(end - low, 1e-6) * old - 0.5
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(old))).astype(np.float32)

    (x1, y1, x2, y2), (rows, columns) = box, mask.shape
    return weights(y1, y2, high, rows) @ mask @ weights(x1, x2, wide, columns).T


def resize_photo(photo: np.ndarray, high: int, wide: int) -> np.ndarray:
    """``photo`` (height, width, 3) of 8 bits in another size, bilinear, with OpenCV's rounding: weights are
    2048ths, and 4 and 16 bits are dropped on the way; beyond the sides a pixel has all weight alone."""

    def ends(old: int, new: int, alone: bool) -> tuple[np.ndarray, ...]:
        at = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
        low = np.floor(at).astype(int)
        far = at - low
        if alone:
            far[(low < 0) | (low >= old - 1)] = 0
        weights = (np.rint(part * 2048).astype(np.int32) for part in (1 - far, far))
        return np.clip(low, 0, old - 1), np.clip(low + 1, 0, old - 1), *weights

    left, right, near, far = ends(photo.shape[1], wide, alone=True)
    rows = photo.astype(np.int32)
    rows = (rows[:, left] * near[:, None] + rows[:, right] * far[:, None]) >> 4
    top, bottom, near, far = ends(photo.shape[0], high, alone=False)
    upper, lower = rows[top] * near[:, None, None] >> 16, rows[bottom] * far[:, None, None] >> 16
    return (upper + lower + 2 >> 2).astype(np.uint8)


def resize(pixels: np.ndarray, high: int, wide: int, corners: bool = False) -> np.ndarray:
    """``pixels`` (height, width, channels) in another size, bilinear, as torch does."""

    def ends(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = (
            np.arange(new) * ((old - 1) / max(1, new - 1))
            if corners
            else (np.arange(new) + 0.5) * old / new - 0.5
        )
        low = np.clip(at, 0, old - 1).astype(int)
        return low, np.minimum(low + 1, old - 1), (np.clip(at, 0, old - 1) - low).astype(np.float32)

    top, bottom, down = ends(pixels.shape[0], high)
    left, right, along = ends(pixels.shape[1], wide)
    down, along = down[:, None, None], along[None, :, None]
    rows = pixels[top] * (1 - down) + pixels[bottom] * down
    return rows[:, left] * (1 - along) + rows[:, right] * along


if __name__ == "__main__":
    model = Model()
    for name in sys.argv[1:]:
        found = model(name)
        if "label_map" in found:
            Image.fromarray(found.pop("label_map")).save(f"{Path(name).stem}_labels.png")
        if "masks" in found:  # at each pixel the number of the object, from 1; the surest lies above
            numbers = np.zeros(found["masks"].shape[1:], np.uint16)
            for number in range(len(found["masks"]), 0, -1):
                numbers[found["masks"][number - 1]] = number
            Image.fromarray(numbers).save(f"{Path(name).stem}_masks.png")
            del found["masks"]
        plain = {key: np.asarray(value).tolist() for key, value in found.items()}
        sys.stdout.write(json.dumps({"image": name, **plain}) + "\n")
