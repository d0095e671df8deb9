"""Run the exported model of this folder on images: ``python run.py IMAGE ...``.

Needs onnxruntime, numpy and Pillow, and ``model.json`` beside it, which says what goes in and what comes out.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps, ImageSequence


class Model:
    # --- labels ---
    """A call gives of one image ``label_map`` (height, width): the class index of each pixel."""

    # --- boxes chosen ---
    """A call gives arrays of one image: ``boxes`` (n, 4) x1 y1 x2 y2 in pixels, best first, ``scores``,
    ``labels``, ``classes``, and of a model of instance masks ``masks`` (n, height, width) of bool."""

    # --- all ---
    def __init__(self, folder: Path = Path(__file__).parent, file: str = "model.onnx") -> None:
        self.facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.session = onnxruntime.InferenceSession(str(folder / file), providers=["CPUExecutionProvider"])

    def __call__(self, path: str | Path, score_thr: float = 0.3) -> dict[str, Any]:
        # --- photo ---
        image = read_photo(path)
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


# --- photo ---
def read_photo(path: str | Path) -> np.ndarray:
    """(height, width, 3), RGB of 8 bits, as OpenCV reads it."""
    file = Image.open(path)
    photo = ImageOps.exif_transpose(file)
    if photo.mode.startswith("I"):  # of 16 bits the upper 8
        photo = Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8))
    if file.format == "TIFF" and photo.mode == "RGBA":  # of these alone alpha counts: they stand on black
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "black"), photo)
    return np.asarray(photo.convert("RGB"))


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
    """``photo`` of 8 bits bilinear as OpenCV rounds: weights are 2048ths, then 4 and 16 bits are dropped."""

    def ends(old: int, new: int) -> tuple[np.ndarray, ...]:
        at = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
        low = np.floor(at).astype(int)
        far = np.rint((at - low) * 2048).astype(int)[:, None]
        return np.clip(low, 0, old - 1), np.clip(low + 1, 0, old - 1), 2048 - far, far

    left, right, near, far = ends(photo.shape[1], wide)
    rows = (photo[:, left] * near + photo[:, right] * far) >> 4
    top, bottom, near, far = ends(photo.shape[0], high)
    return ((rows[top] * near[..., None] >> 16) + (rows[bottom] * far[..., None] >> 16) + 2 >> 2).astype(
        np.uint8
    )


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
    # --- one ---
    return (1 / (1 + np.exp(-whole[0])) > facts["threshold"]).astype(np.uint8)  # one logit for two classes
    # --- several ---
    return whole.argmax(0).astype(np.uint8 if len(facts["classes"]) <= 256 else np.uint16)


# --- labels stack ---
def resize(pixels: np.ndarray, image: Any, corners: bool) -> np.ndarray:
    """``pixels`` (h, w) in the size of the image, bilinear, as torch does."""
    new, old = np.array(image[:2]), np.array(pixels.shape)
    y, x = (old - 1) / np.maximum(new - 1, 1) if corners else old / new
    left, top = (0.5 - x / 2, 0.5 - y / 2) if corners else (0, 0)
    way = Image.Transform.AFFINE, (x, 0, left, 0, y, top), Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).transform((image[1], image[0]), *way))


# --- boxes ---
def choose(
    named: dict[str, Any], image: Any, small: Any, rules: dict[str, Any], score_thr: float
) -> dict[str, Any]:
    """The best boxes of each class that do not overlap, in pixels of the image."""
    places, labels = (named["scores"] > rules["score_thr"]).nonzero()
    best = np.argsort(-named["scores"][places, labels], kind="stable")[: rules["most_before"]]
    places, labels = places[best], labels[best]
    scores = named["scores"][places, labels] * (named["factors"][places] if "factors" in named else 1.0)
    boxes, limits = named["boxes"][places], np.array(small[1::-1] * 2)
    boxes = (np.clip(boxes, 0, limits) if rules["clip"] else boxes) / limits * np.array(image[1::-1] * 2)
    sides = boxes[:, 2:] - boxes[:, :2]
    kept: list[int] = []
    left = (sides > rules["min_size"]).all(1).nonzero()[0]
    while len(left) and len(kept) < rules["most"]:
        first = left[scores[left].argmax()]
        kept.append(first)
        left = left[left != first]
        ends = np.minimum(boxes[first, 2:], boxes[left, 2:]) - np.maximum(boxes[first, :2], boxes[left, :2])
        both = ends.clip(min=0).prod(1) * (labels[left] == labels[first])
        overlap = both / np.maximum(sides[first].prod() + sides[left].prod(1) - both, 1e-9)
        # --- gaussian ---
        scores[left] *= np.exp(-(overlap**2) / rules["sigma"])
        left = left[scores[left] >= rules["min_score"]]
        # --- hard ---
        left = left[overlap <= rules["iou_threshold"]]
        # --- boxes ---
    kept = [one for one in kept if scores[one] >= score_thr]
    return {"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]}


# --- chosen ---
def place(
    named: dict[str, Any], image: Any, small: Any, facts: dict[str, Any], score_thr: float
) -> dict[str, Any]:
    """What the model has chosen, in pixels of the image."""
    found = {key: values[named["scores"] >= score_thr] for key, values in named.items()}
    found["boxes"] = found["boxes"] * (np.array(image[1::-1]) / small[1::-1])[[0, 1, 0, 1]]
    # --- masks ---
    found["masks"] = paste(found["masks"], found["boxes"], *image[:2]) >= facts["mask_threshold"]
    # --- chosen ---
    return found


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
        masks = found.pop("masks")  # at each pixel the number of the object, from 1 on, the surest above
        numbers = np.concatenate([~masks.any(0)[None], masks]).argmax(0).astype(np.uint16)
        Image.fromarray(numbers).save(f"{Path(name).stem}_masks.png")
        # --- all ---
        plain = {key: np.asarray(value).tolist() for key, value in found.items()}
        sys.stdout.write(json.dumps({"image": name, **plain}) + "\n")
