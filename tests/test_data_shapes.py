"""The embedded data set: the same for the same seed, and boxes, masks and labels that agree."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmbackbones import InputError
from mmbackbones.data import shapes
from mmbackbones.data.shapes import CLASSES, write_shapes


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", train=12, val=4, seed=3)


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_bytes(root, tmp_path):
    again = write_shapes(tmp_path / "again", train=12, val=4, seed=3)
    assert digest(again) == digest(root)
    assert digest(write_shapes(tmp_path / "two", train=12, val=4, seed=3, processes=2)) == digest(root)
    other = write_shapes(tmp_path / "other", train=12, val=4, seed=4)
    assert digest(other)["images/train/train_00000.jpg"] != digest(root)["images/train/train_00000.jpg"]


def test_a_longer_set_begins_with_the_shorter_one(root, tmp_path):
    longer = digest(write_shapes(tmp_path / "longer", train=13, val=4, seed=3))
    shorter = {name: sum_ for name, sum_ in digest(root).items() if name.endswith((".jpg", ".png"))}
    assert shorter.items() < longer.items()


def test_splits_share_no_picture(root):
    sums = [value for name, value in digest(root).items() if name.endswith(".jpg")]
    assert len(sums) == 16
    assert len(set(sums)) == 16


@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_masks_and_labels_agree(root, split):
    coco = json.loads((root / f"{split}.json").read_text())
    names = [category["name"] for category in coco["categories"]]
    assert tuple(names) == CLASSES
    assert (root / "classes.txt").read_text().split() == ["background", *names]
    for image in coco["images"]:
        with Image.open(root / "images" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == (192, 192)
        labels = np.array(Image.open(root / "labels" / Path(image["file_name"]).with_suffix(".png")))
        built = np.zeros_like(labels)
        mine = [ann for ann in coco["annotations"] if ann["image_id"] == image["id"]]
        assert mine
        for ann in mine:
            mask = coco_mask.decode(ann["segmentation"]).astype(bool)
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert ann["bbox"] == box
            assert ann["area"] == mask.sum()
            assert not built[mask].any(), "visible masks must not overlap"
            built[mask] = ann["category_id"]
        np.testing.assert_array_equal(labels, built)


def test_it_is_not_trivial():
    rng, size = np.random.default_rng(0), (192, 192)
    pictures = [shapes.arrange(rng, size) for _ in range(60)]
    every = [shape for picture in pictures for shape in picture]
    assert {shape.label for shape in every} == set(range(len(CLASSES)))
    assert len(every) / len(pictures) >= 3
    radii = np.array([shape.radius for shape in every])
    assert radii.max() > 3 * radii.min()
    hidden = 0
    for picture in pictures:
        seen = np.bincount(shapes.visible(picture, size).ravel(), minlength=len(picture) + 1)[1:]
        parts = seen / [shape.area for shape in picture]
        assert parts.min() >= shapes.MIN_VISIBLE
        hidden += (parts < 0.95).sum()
    assert hidden >= len(every) / 10, "some shapes must be partly hidden"


def test_size_is_width_height_and_progress_counts(tmp_path):
    calls: list[tuple[int, int]] = []
    root = write_shapes(
        tmp_path / "wide", train=2, val=1, size=(96, 64), progress=lambda *call: calls.append(call)
    )
    assert Image.open(root / "images/train/train_00001.jpg").size == (96, 64)
    assert Image.open(root / "labels/val/val_00000.png").size == (96, 64)
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_the_same_set_is_kept_and_another_is_never_overwritten(root, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert write_shapes(root, train=12, val=4, seed=3) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    with pytest.raises(InputError, match="not empty .* Delete it or choose another folder"):
        write_shapes(root, train=12, val=5, seed=3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="mine' is not empty"):
        write_shapes(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["holiday.jpg"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shapes(tmp_path / "set", train=2, val=1, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(train=0), "train=0"),
        (dict(val=0), "val=0"),
        (dict(size=(32, 192)), r"size=\(32, 192\).*at least 64"),
        (dict(seed=-1), "seed=-1"),
    ],
)
def test_bad_settings_are_named(tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        write_shapes(tmp_path / "set", **wrong)


def test_a_root_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/set'.*Choose a folder"):
        write_shapes(tmp_path / "file" / "set", train=1, val=1)
