"""Run the exported model of this folder on images: ``python run.py IMAGE ...``.

Needs onnxruntime, numpy and Pillow, and ``model.json`` beside it, which says what goes in and what comes out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps, ImageSequence


class Model:
    """A call gives arrays of one image.

    # --- labels ---
    ``label_map`` (height, width): the class index of each pixel.
    # --- boxes chosen ---
    ``boxes`` (n, 4) x1 y1 x2 y2 in pixels, best first, with ``scores``, ``labels`` and ``classes``.
    # --- masks ---
    ``masks`` (n, height, width) of bool.
    # --- all ---
    """

    def __init__(self, folder: Path = Path(__file__).parent, file: str = "model.onnx") -> None:
        self.facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.session = onnxruntime.InferenceSession(str(folder / file), providers=["CPUExecutionProvider"])

    def __call__(self, path: str | Path, score_thr: float = 0.3) -> dict[str, Any]:
        # --- photo ---
        photo = ImageOps.exif_transpose(Image.open(path))
        if photo.mode.startswith("I"):  # of 16 bits the upper 8
            photo = Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8))
        image = np.asarray(photo.convert("RGB"))
        # --- stack ---
        image = read_stack(Path(path), self.facts["input"]["shape"][1])
        # --- all ---
        small = shrink(image, self.facts["resize"])
        given = {"image": pad(small, self.facts["input"])}
        # --- chosen ---
        given["sides"] = np.array(small.shape[:2], np.float32)
        # --- all ---
        answers = self.session.run(None, given)
        named = {key: answer[0] for key, answer in zip(self.facts["outputs"], answers, strict=True)}
        # --- labels ---
        return {"label_map": label_map(named["logits"], image.shape, small.shape, self.facts)}
        # --- boxes ---
        found = choose(named, image.shape, small.shape, self.facts["choose"], score_thr)
        # --- chosen ---
        found = place(named, image.shape, small.shape, self.facts, score_thr)
        # --- boxes chosen ---
        return {**found, "classes": [self.facts["classes"][label] for label in found["labels"]]}
        # --- all ---


# --- stack ---
def read_stack(path: Path, channels: int) -> np.ndarray:
    """(height, width, channels) of a ``.npy``, or of a TIFF of one page for each channel."""
    if path.suffix.lower() == ".npy":
        stack = np.load(path)
    else:
        stack = np.stack([np.asarray(page) for page in ImageSequence.Iterator(Image.open(path))], -1)
    stack = stack.reshape(*stack.shape[:2], -1).astype(np.float32)
    if stack.shape[2] != channels:
        raise ValueError(f"{path} has {stack.shape[2]} channels, the model takes {channels}.")
    return stack


# --- all ---
def shrink(image: np.ndarray, rule: dict[str, Any]) -> np.ndarray:
    """``image`` (height, width, channels) in the size that the model was trained with."""
    high, wide = rule["height"], rule["width"]
    if rule["keep_ratio"]:
        scale = min(max(high, wide) / max(image.shape[:2]), min(high, wide) / min(image.shape[:2]))
        high, wide = (int(side * scale + 0.5) for side in image.shape[:2])
    # --- pillow ---
    return np.asarray(Image.fromarray(image).resize((wide, high), Image.Resampling.BILINEAR))
    # --- stack ---
    return np.stack([resize(one, (high, wide), False) for one in image.transpose(2, 0, 1)], -1)
    # --- opencv ---
    return resize_photo(image, high, wide)


def resize_photo(photo: np.ndarray, high: int, wide: int) -> np.ndarray:
    """``photo`` of 8 bits in another size, bilinear, with OpenCV's rounding: weights are 2048ths, and 4 and
    16 bits are dropped on the way; beyond the sides a pixel has all weight alone."""

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


# --- all ---
def pad(small: np.ndarray, rule: dict[str, Any]) -> np.ndarray:
    """(1, channels, H, W) as the model takes it, filled up below and on the right."""
    (high, wide), by = small.shape[:2], rule["multiple_of"]
    sides = rule["height"] or -(-high // by) * by, rule["width"] or -(-wide // by) * by
    if high > sides[0] or wide > sides[1]:
        raise ValueError(f"{wide}x{high} does not fit into {sides[1]}x{sides[0]}: export with --dynamic.")
    whole = np.tile(np.array(rule["padding"], np.float32), (*sides, 1))
    # --- photo ---
    small = small[..., ::-1]  # to BGR
    # --- all ---
    whole[:high, :wide] = small
    return whole.transpose(2, 0, 1)[None]


# --- labels ---
def label_map(logits: np.ndarray, image: Any, small: Any, facts: dict[str, Any]) -> np.ndarray:
    """The likeliest class of each pixel of the image, (height, width)."""
    whole = np.stack([resize(one[: small[0], : small[1]], image, facts["align_corners"]) for one in logits])
    if facts["threshold"] is not None:  # one logit for two classes
        return (1 / (1 + np.exp(-whole[0])) > facts["threshold"]).astype(np.uint8)
    return whole.argmax(0).astype(np.uint8 if len(facts["classes"]) <= 256 else np.uint16)


# --- labels stack ---
def resize(pixels: np.ndarray, image: Any, corners: bool) -> np.ndarray:
    """``pixels`` (h, w) in the size of the image, bilinear, as torch does."""
    (high, wide), steps = image[:2], []
    for old, new in zip(pixels.shape[::-1], (wide, high), strict=True):
        by = (old - 1) / max(new - 1, 1) if corners else old / new
        steps.append((by, 0.5 - by / 2 if corners else 0.0))
    (x, left), (y, top) = steps
    way = Image.Transform.AFFINE, (x, 0, left, 0, y, top), Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).transform((wide, high), *way))


# --- boxes ---
def choose(
    named: dict[str, Any], image: Any, small: Any, rules: dict[str, Any], score_thr: float
) -> dict[str, Any]:
    """The best boxes of each class that do not overlap, in pixels of the image."""
    scores = named["scores"]
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
    return {"boxes": boxes[kept], "scores": scores, "labels": labels[kept]}


def suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, rules: dict[str, Any]) -> Any:
    """Non-maximum suppression: what is kept, best first, and its scores."""
    scores, left, kept = scores.astype(np.float64), np.arange(len(boxes)), []
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(left):
        first = left[scores[left].argmax()]
        kept.append(first)
        left = left[left != first]
        sides = np.minimum(boxes[first, 2:], boxes[left, 2:]) - np.maximum(boxes[first, :2], boxes[left, :2])
        both = sides.clip(min=0).prod(1) * (labels[left] == labels[first])
        overlap = both / np.maximum(area[first] + area[left] - both, 1e-9)
        # --- gaussian ---
        scores[left] *= np.exp(-(overlap**2) / rules["sigma"])
        left = left[scores[left] >= rules["min_score"]]
        # --- hard ---
        left = left[overlap <= rules["iou_threshold"]]
    # --- boxes ---
    order = np.array(kept, int)
    return order, scores[order]


# --- chosen ---
def place(
    named: dict[str, Any], image: Any, small: Any, facts: dict[str, Any], score_thr: float
) -> dict[str, Any]:
    """What the model has chosen, in pixels of the image."""
    kept = named["scores"] >= score_thr
    boxes = named["boxes"][kept] * (np.array(image[1::-1]) / small[1::-1])[[0, 1, 0, 1]]
    return {
        "boxes": boxes,
        "scores": named["scores"][kept],
        "labels": named["labels"][kept],
        # --- masks ---
        "masks": paste(named["masks"][kept], boxes, *image[:2]) >= facts["mask_threshold"],
        # --- chosen ---
    }


# --- masks ---
def paste(masks: np.ndarray, boxes: np.ndarray, high: int, wide: int) -> np.ndarray:
    """``masks`` (n, h, w) over their boxes in an image of (high, wide), bilinear, 0 outside."""
    whole = np.zeros((len(masks), high, wide), np.float32)
    for out, mask, box in zip(whole, masks, boxes, strict=True):
        x, y = mask.shape[::-1] / np.maximum(box[2:] - box[:2], 1e-6)
        way = Image.Transform.AFFINE, (x, 0, 1 - x * box[0], 0, y, 1 - y * box[1]), Image.Resampling.BILINEAR
        out[:] = Image.fromarray(np.pad(mask, 1)).transform((wide, high), *way)
    return whole


# --- all ---
if __name__ == "__main__":
    model = Model()
    for name in sys.argv[1:]:
        found = model(name)
        # --- labels ---
        Image.fromarray(found.pop("label_map")).save(f"{Path(name).stem}_labels.png")
        # --- masks ---
        masks = found.pop("masks")
        numbers = np.zeros(masks.shape[1:], np.uint16)  # at each pixel the number of the object, from 1 on
        for number in range(len(masks), 0, -1):  # the surest lies above
            numbers[masks[number - 1]] = number
        Image.fromarray(numbers).save(f"{Path(name).stem}_masks.png")
        # --- all ---
        plain = {key: np.asarray(value).tolist() for key, value in found.items()}
        sys.stdout.write(json.dumps({"image": name, **plain}) + "\n")
