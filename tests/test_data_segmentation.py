"""Recognition of image and label folders: arrangements, splits, and what mmseg makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from segmentation_sets import files, image, label, names

from mmbackbones import InputError
from mmbackbones.data.layouts import dataset_cfg, evaluator_cfg
from mmbackbones.data.naming import VOC_CLASSES
from mmbackbones.data.shapes import CLASSES, write_shapes


def test_plain_folders(labelled, look_at_labels):
    (labelled / "classes.txt").write_text("road\ncar\n\ntree\n")
    data = look_at_labels(labelled)
    assert (data.layout, data.task, data.root) == ("folders", "segmentation", labelled)
    assert data.classes == ("road", "car", "tree")
    assert len(set(data.palette)) == 3
    assert (data.train.count, data.val.count) == (2, 1)
    assert (data.train.img_dir, data.train.label_dir) == (
        labelled / "images/train",
        labelled / "labels/train",
    )
    assert (data.train.img_suffix, data.train.label_suffix) == (".jpg", ".png")
    assert (names(data.train), names(data.val)) == (["a", "b"], ["c"])
    assert data.notes == ()


ARRANGEMENTS = {
    "mmseg": ("img_dir/{}/{}.jpg", "ann_dir/{}/{}.png", ("train", "val")),
    "masks": ("imgs/{}/{}.png", "masks/{}/{}.png", ("training", "validation")),
    "split first": ("{}/images/{}.tif", "{}/labels/{}.png", ("train", "valid")),
    "camvid": ("images/{}/{}.png", "labels/{}/{}_L.png", ("train", "val")),
    "cityscapes": (
        "leftImg8bit/{}/town/{}_leftImg8bit.png",
        "gtFine/{}/town/{}_gtFine_labelTrainIds.png",
        ("train", "val"),
    ),
    "side by side": ("{}/{}.png", "{}annot/{}.png", ("train", "val")),
    "side by side, labels": ("{}/{}.png", "{}_labels/{}_L.png", ("train", "val")),
    "capitals": ("Images/{}/{}.JPG", "Annotations/{}/{}.PNG", ("train", "val")),
}


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_arrangements(arrangement, tmp_path, look_at_labels):
    image_path, label_path, splits = ARRANGEMENTS[arrangement]
    root = tmp_path / "set"
    for split, stems in zip(splits, ("ab", "c"), strict=True):
        for stem in stems:
            image(root / image_path.format(split, stem))
            label(root / label_path.format(split, stem))
    data = look_at_labels(root)
    assert (data.train.count, data.val.count) == (2, 1)
    for split, folder, stems in ((data.train, splits[0], "ab"), (data.val, splits[1], "c")):
        expected = [
            (root / image_path.format(folder, one), root / label_path.format(folder, one)) for one in stems
        ]
        assert files(split) == expected


def flat(root: Path, count: int, images: str = "images", labels: str = "labels") -> Path:
    for k in range(count):
        image(root / images / f"{k:02d}.jpg")
        label(root / labels / f"{k:02d}.png")
    return root


def test_no_validation_split_one_is_split_off(tmp_path, look_at_labels):
    root = flat(tmp_path / "set", 10)
    data = look_at_labels(root)
    assert (data.train.count, data.val.count) == (8, 2)
    assert sorted(names(data.train) + names(data.val)) == [f"{k:02d}" for k in range(10)]
    assert any("no validation split: 2 of 10 images were split off" in note for note in data.notes)
    assert root not in data.val.ann_file.parents
    assert names(look_at_labels(root).val) == names(data.val)
    assert names(look_at_labels(root, seed=1).val) != names(data.val)


def test_training_folder_alone_is_split(tmp_path, look_at_labels):
    data = look_at_labels(flat(tmp_path / "set", 4, "images/train", "labels/train"))
    assert (data.train.count, data.val.count) == (3, 1)


def test_one_image_cannot_be_split(tmp_path, look_at_labels):
    with pytest.raises(InputError, match="has 1 image and no validation split.*Add images"):
        look_at_labels(flat(tmp_path / "set", 1))


def test_lists_of_names(tmp_path, look_at_labels):
    root = flat(tmp_path / "set", 4)
    (root / "train.txt").write_text("00.jpg\n02\n")
    (root / "val.txt").write_text("03\n")
    data = look_at_labels(root)
    assert (names(data.train), names(data.val)) == (["00", "02"], ["03"])
    (root / "val.txt").write_text("03\n07\n")
    with pytest.raises(InputError, match="1 labels of .* have no image in .*'07'"):
        look_at_labels(root)


def test_names_with_spaces_and_dots(tmp_path, look_at_labels):
    root = tmp_path / "set"
    stems = ["first one", "v1.2", "third"]
    for stem in stems:
        image(root / "images" / f"{stem}.jpg")
        label(root / "labels" / f"{stem}.png")
    (root / "train.txt").write_text("first one\nv1.2\n")
    (root / "val.txt").write_text("third.jpg\n")
    assert look_at_labels(root).train.ann_file.read_text() == "first one\nv1.2\n"


def test_images_in_both_splits_are_told(tmp_path, look_at_labels):
    root = flat(tmp_path / "set", 4)
    (root / "train.txt").write_text("00\n01\n")
    (root / "val.txt").write_text("01\n03\n")
    assert any("1 images are in both splits" in note for note in look_at_labels(root).notes)


def test_voc_segmentation(tmp_path, look_at_labels):
    base = flat(tmp_path / "set/VOCdevkit/VOC2012", 4, "JPEGImages", "SegmentationClass")
    image(base / "JPEGImages/unlabelled.jpg")
    for name in (base / "SegmentationClass").iterdir():
        label(name, (*range(21), 255))
    data = look_at_labels(tmp_path / "set")
    assert (data.layout, data.classes) == ("voc", VOC_CLASSES)
    assert (data.train.count, data.val.count) == (3, 1)
    lists = base / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("00\n01\n")
    (lists / "val.txt").write_text("02\n")
    data = look_at_labels(tmp_path / "set")
    assert (names(data.train), names(data.val)) == (["00", "01"], ["02"])


def test_images_of_several_suffixes(labelled, look_at_labels):
    (labelled / "images/train/b.jpg").unlink()
    image(labelled / "images/train/b.png")
    data = look_at_labels(labelled)
    assert any("several suffixes ('.jpg', '.png')" in note for note in data.notes)
    assert labelled not in data.train.img_dir.parents
    for (link, _), name in zip(files(data.train), ("a.jpg", "b.png"), strict=True):
        assert link.resolve() == labelled / "images/train" / name
    assert files(look_at_labels(labelled).train) == files(data.train), "a second call finds its own links"


# --- what mmseg makes of it


def test_mmseg_loads_the_shapes(tmp_path, look_at_labels):
    pytest.importorskip("mmseg.datasets", reason="mmseg is in the extra mmbackbones[mm]")
    import torch
    from mmseg.registry import DATASETS, METRICS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    root = write_shapes(tmp_path / "shapes", train=3, val=2)
    data = look_at_labels(root)
    assert (data.classes, data.palette[0], data.notes) == (("background", *CLASSES), (0, 0, 0), ())
    pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
    for split, count in (("train", 3), ("val", 2)):
        dataset = DATASETS.build(dataset_cfg(data, split, pipeline))
        assert len(dataset) == count
        assert dataset.metainfo["classes"] == data.classes
        for sample in dataset:
            truth = sample["data_samples"].gt_sem_seg.data[0]
            stem = Path(sample["data_samples"].img_path).stem
            written = np.array(Image.open(root / "labels" / split / f"{stem}.png"))
            np.testing.assert_array_equal(truth.numpy(), written)
            assert tuple(sample["inputs"].shape) == (3, 192, 192)
    metric = METRICS.build(evaluator_cfg(data, "val"))
    metric.dataset_meta = dataset.metainfo
    truth = torch.as_tensor(written.astype(np.int64))[None]
    metric.process({}, [dict(pred_sem_seg=dict(data=truth), gt_sem_seg=dict(data=truth))])
    assert metric.evaluate(size=1)["mIoU"] == 100


def test_mmseg_follows_links_and_endings(tmp_path, look_at_labels):
    pytest.importorskip("mmseg.datasets", reason="mmseg is in the extra mmbackbones[mm]")
    from mmseg.registry import DATASETS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    root = tmp_path / "set"
    for k, suffix in enumerate((".jpg", ".png", ".jpeg")):
        image(root / "images" / f"{k}{suffix}")
        label(root / "labels" / f"{k}_mask.png", (0, 1, k))
    pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
    data = look_at_labels(root)
    for split in ("train", "val"):
        for sample in DATASETS.build(dataset_cfg(data, split, pipeline)):
            k = int(Path(sample["data_samples"].img_path).name[0])
            assert sample["data_samples"].gt_sem_seg.data.unique().tolist() == sorted({0, 1, k})
