"""Recognition of image and label folders: arrangements, classes, splits, and every refusal's message."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbackbones import InputError
from mmbackbones.data.labels import read_classes
from mmbackbones.data.layouts import dataset_cfg, evaluator_cfg, recognise
from mmbackbones.data.naming import VOC_CLASSES
from mmbackbones.data.shapes import CLASSES, write_shapes

SIZE = (20, 12)  # width, height


def image(path: Path, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)
    return path


def label(path: Path, values: tuple[int, ...] = (0, 1, 2, 255), size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.resize(np.array(values, np.uint8), size[::-1])
    Image.fromarray(pixels).save(path)
    return path


def state(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(root.rglob("*"))}


@pytest.fixture
def look(tmp_path):
    """Recognise a folder for segmentation and check that nothing in it was changed."""

    def run(root: Path, **kwargs):
        before = state(root)
        try:
            return recognise(root, "segmentation", cache_dir=tmp_path / "cache", **kwargs)
        finally:
            assert state(root) == before

    return run


@pytest.fixture
def plain(tmp_path):
    """``images/{train,val}`` and ``labels/{train,val}`` with two and one images."""
    root = tmp_path / "set"
    for name in ("train/a", "train/b", "val/c"):
        image(root / "images" / f"{name}.jpg")
        label(root / "labels" / f"{name}.png")
    return root


def names(split) -> list[str]:
    return split.ann_file.read_text().split()


def files(split) -> list[tuple[Path, Path]]:
    return [
        (split.img_dir / (name + split.img_suffix), split.label_dir / (name + split.label_suffix))
        for name in names(split)
    ]


def test_plain_folders(plain, look):
    (plain / "classes.txt").write_text("road\ncar\n\ntree\n")
    data = look(plain)
    assert (data.layout, data.task, data.root) == ("folders", "segmentation", plain)
    assert data.classes == ("road", "car", "tree")
    assert len(set(data.palette)) == 3
    assert (data.train.count, data.val.count) == (2, 1)
    assert (data.train.img_dir, data.train.label_dir) == (plain / "images/train", plain / "labels/train")
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
def test_arrangements(arrangement, tmp_path, look):
    image_path, label_path, splits = ARRANGEMENTS[arrangement]
    root = tmp_path / "set"
    for split, stems in zip(splits, ("ab", "c"), strict=True):
        for stem in stems:
            image(root / image_path.format(split, stem))
            label(root / label_path.format(split, stem))
    data = look(root)
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


def test_no_validation_split_one_is_split_off(tmp_path, look):
    root = flat(tmp_path / "set", 10)
    data = look(root)
    assert (data.train.count, data.val.count) == (8, 2)
    assert sorted(names(data.train) + names(data.val)) == [f"{k:02d}" for k in range(10)]
    assert any("no validation split: 2 of 10 images were split off" in note for note in data.notes)
    assert root not in data.val.ann_file.parents
    assert names(look(root).val) == names(data.val)
    assert names(look(root, seed=1).val) != names(data.val)


def test_training_folder_alone_is_split(tmp_path, look):
    data = look(flat(tmp_path / "set", 4, "images/train", "labels/train"))
    assert (data.train.count, data.val.count) == (3, 1)


def test_one_image_cannot_be_split(tmp_path, look):
    with pytest.raises(InputError, match="has 1 image and no validation split.*Add images"):
        look(flat(tmp_path / "set", 1))


def test_lists_of_names(tmp_path, look):
    root = flat(tmp_path / "set", 4)
    (root / "train.txt").write_text("00.jpg\n02\n")
    (root / "val.txt").write_text("03\n")
    data = look(root)
    assert (names(data.train), names(data.val)) == (["00", "02"], ["03"])
    (root / "val.txt").write_text("03\n07\n")
    with pytest.raises(InputError, match="1 labels of .* have no image in .*'07'"):
        look(root)


def test_names_with_spaces_and_dots(tmp_path, look):
    root = tmp_path / "set"
    stems = ["first one", "v1.2", "third"]
    for stem in stems:
        image(root / "images" / f"{stem}.jpg")
        label(root / "labels" / f"{stem}.png")
    (root / "train.txt").write_text("first one\nv1.2\n")
    (root / "val.txt").write_text("third.jpg\n")
    assert look(root).train.ann_file.read_text() == "first one\nv1.2\n"


def test_images_in_both_splits_are_told(tmp_path, look):
    root = flat(tmp_path / "set", 4)
    (root / "train.txt").write_text("00\n01\n")
    (root / "val.txt").write_text("01\n03\n")
    assert any("1 images are in both splits" in note for note in look(root).notes)


def test_voc_segmentation(tmp_path, look):
    base = flat(tmp_path / "set/VOCdevkit/VOC2012", 4, "JPEGImages", "SegmentationClass")
    image(base / "JPEGImages/unlabelled.jpg")
    for name in (base / "SegmentationClass").iterdir():
        label(name, (*range(21), 255))
    data = look(tmp_path / "set")
    assert (data.layout, data.classes) == ("voc", VOC_CLASSES)
    assert (data.train.count, data.val.count) == (3, 1)
    lists = base / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("00\n01\n")
    (lists / "val.txt").write_text("02\n")
    data = look(tmp_path / "set")
    assert (names(data.train), names(data.val)) == (["00", "01"], ["02"])


def test_images_of_several_suffixes(plain, look):
    (plain / "images/train/b.jpg").unlink()
    image(plain / "images/train/b.png")
    data = look(plain)
    assert any("several suffixes ('.jpg', '.png')" in note for note in data.notes)
    assert plain not in data.train.img_dir.parents
    for (link, _), name in zip(files(data.train), ("a.jpg", "b.png"), strict=True):
        assert link.resolve() == plain / "images/train" / name
    assert files(look(plain).train) == files(data.train), "a second call finds its own links"


# --- classes


def test_classes_from_the_values_that_occur(plain, look):
    label(plain / "labels/val/c.png", (0, 4))
    data = look(plain)
    assert data.classes == ("class_0", "class_1", "class_2", "class_3", "class_4")
    assert any("no classes.txt, so no label value has a name: all of 0 to 4" in note for note in data.notes)
    assert any("No label holds the classes 'class_3'" in note for note in data.notes)


CLASS_FILES = {
    "list": ["road", "car"],
    "numbered": {"1": "car", "0": "road"},
    "with palette": {"classes": ["road", "car"], "palette": [[1, 2, 3], [4, 5, 6]]},
    "coco": {
        "categories": [dict(id=1, name="car", color=[4, 5, 6]), dict(id=0, name="road", color=[1, 2, 3])]
    },
    "rows": [dict(id=0, name="road"), dict(id=1, name="car")],
}


@pytest.mark.parametrize("form", CLASS_FILES)
def test_classes_json(form, tmp_path):
    file = tmp_path / "classes.json"
    file.write_text(json.dumps(CLASS_FILES[form]))
    palette = ((1, 2, 3), (4, 5, 6)) if form in ("with palette", "coco") else ()
    assert read_classes(file) == (("road", "car"), palette)


BAD_CLASS_FILES = {
    "not json": ("classes.json", "{", "Cannot read class names from '.*classes.json'.*Allowed:"),
    "number": ("classes.json", "3", "Cannot read class names from"),
    "numbers": ("classes.json", "[1, 2]", "Cannot read class names from"),
    "deep": ("classes.json", "[" * 100_000, "Cannot read class names from"),
    "colour": (
        "classes.json",
        '{"classes": ["a"], "palette": [[1, 2, 900]]}',
        r"the colour \(1, 2, 900\) has parts outside 0 to 255",
    ),
    "gap": ("classes.json", '{"0": "a", "2": "b"}', r"must run from 0 to 1: \[0, 2\]"),
    "twice": ("classes.txt", "a\nb\na\n", "has 3 names, 1 of them twice"),
    "empty": ("classes.txt", "\n", "has 0 names"),
    "bytes": ("classes.txt", b"\xff\xfe\x00\xd8", "Cannot read class names"),
}


@pytest.mark.parametrize("case", BAD_CLASS_FILES)
def test_bad_classes_file(case, plain, look):
    name, content, message = BAD_CLASS_FILES[case]
    (plain / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        look(plain)


def test_palette_of_the_file_is_used(plain, look):
    colours = [[k, k, k] for k in range(3)]
    (plain / "classes.json").write_text(json.dumps(dict(classes=["a", "b", "c"], palette=colours)))
    assert look(plain).palette == ((0, 0, 0), (1, 1, 1), (2, 2, 2))


# --- refusals


def test_label_value_without_a_class(plain, look):
    (plain / "classes.txt").write_text("road\ncar\n")
    with pytest.raises(
        InputError, match=r"3 labels .*a.png holds 2'.*Allowed are 0 to 1 \(2 classes: 'road', 'car'"
    ):
        look(plain)


def test_labels_that_are_all_ignored(plain, look):
    (plain / "classes.txt").write_text("one\ntwo\nthree\n")
    for file in plain.glob("labels/*/*.png"):
        label(file, (255,))
    with pytest.raises(InputError, match=r"No label of .* holds a class: .*'ignore' \('255'\).*'one', 'two'"):
        look(plain)


def test_masks_of_0_and_255(plain, look):
    for path in (plain / "labels").rglob("*.png"):
        label(path, (0, 255))
    with pytest.raises(
        InputError, match="only the value 0 beside 255, which means 'ignore'.*becomes 0 and 1"
    ):
        look(plain)


def test_coloured_label(plain, look):
    image(plain / "labels/train/b.png")
    with pytest.raises(InputError, match=r"1 of 2 labels cannot be used: '.*b.png': it has colours \(RGB\)"):
        look(plain)


@pytest.mark.parametrize("mode", ["P", "I;16", "1"])
def test_other_one_channel_labels(plain, look, mode):
    pixels = np.resize(np.array([0, 1], np.uint8), SIZE[::-1])
    picture = Image.fromarray(
        pixels.astype(np.uint16) if mode == "I;16" else pixels * (255 if mode == "1" else 1)
    )
    if mode == "P":
        picture.putpalette([0, 0, 0, 200, 10, 10])
    for path in (plain / "labels").rglob("*.png"):
        (picture.convert("1") if mode == "1" else picture).save(path)
        assert Image.open(path).mode == mode
    assert look(plain).classes == ("class_0", "class_1")


def test_size_of_label_and_image(plain, look):
    label(plain / "labels/train/b.png", size=(20, 13))
    with pytest.raises(InputError, match=r"1 labels .* differ in size .*'b.png is 20x13, its image 20x12'"):
        look(plain)


def test_image_without_label(plain, look):
    (plain / "labels/train/b.png").unlink()
    with pytest.raises(InputError, match="1 images of '.*train' have no label in .*'b.jpg'.*add the labels"):
        look(plain)


def test_label_without_image(plain, look):
    label(plain / "labels/train/z.png")
    with pytest.raises(InputError, match="1 labels of '.*train' have no image in .*'z.png'.*add the images"):
        look(plain)


def test_split_without_labels(plain, look):
    (plain / "labels/val/c.png").unlink()
    (plain / "labels/val").rmdir()
    with pytest.raises(InputError, match="images/val' has no partner 'val' in '.*labels'"):
        look(plain)


def test_two_images_of_one_name(plain, look):
    image(plain / "images/train/b.png")
    with pytest.raises(InputError, match="several files that differ in the suffix only, as 'b.jpg'"):
        look(plain)


def test_labels_of_several_suffixes(plain, look):
    (plain / "labels/train/b.png").unlink()
    label(plain / "labels/train/b.tif")
    with pytest.raises(
        InputError, match="labels in .* have several suffixes: '.png', '.tif'. Save all as .png"
    ):
        look(plain)


def test_no_images(plain, look):
    for path in (plain / "images/train").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="images/train' is an empty data set"):
        look(plain)


@pytest.mark.parametrize(
    ("folder", "suffix", "what"), [("images", ".jpg", "images"), ("labels", ".png", "labels")]
)
def test_bad_files(plain, look, folder, suffix, what):
    path = plain / folder / f"train/a{suffix}"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=f"1 of 2 {what} cannot be used: '.*a{suffix}': the file is empty"):
        look(plain)
    path.write_bytes(b"no image at all")
    with pytest.raises(InputError, match=f"a{suffix}': it is not an image"):
        look(plain)


def test_data_for_the_other_task(tmp_path, plain):
    with pytest.raises(InputError, match="It looks like data for segmentation: use a segmentation config"):
        recognise(plain, "detection", cache_dir=tmp_path / "cache")
    root = write_shapes(tmp_path / "shapes", train=1, val=1)
    for path in (root / "labels").rglob("*.png"):
        path.unlink()
    with pytest.raises(InputError, match="It looks like data for detection: use a detection config"):
        recognise(root, "segmentation", cache_dir=tmp_path / "cache")


def test_not_recognised(tmp_path, look):
    (tmp_path / "set").mkdir()
    with pytest.raises(
        InputError, match=r"not recognised .* for segmentation. It is empty. Looked for folders images/"
    ):
        look(tmp_path / "set")


# --- what mmseg makes of it


def test_mmseg_loads_the_shapes(tmp_path, look):
    pytest.importorskip("mmseg.datasets", reason="mmseg is in the extra mmbackbones[mm]")
    import torch
    from mmseg.registry import DATASETS, METRICS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    root = write_shapes(tmp_path / "shapes", train=3, val=2)
    data = look(root)
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


def test_mmseg_follows_links_and_endings(tmp_path, look):
    pytest.importorskip("mmseg.datasets", reason="mmseg is in the extra mmbackbones[mm]")
    from mmseg.registry import DATASETS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    root = tmp_path / "set"
    for k, suffix in enumerate((".jpg", ".png", ".jpeg")):
        image(root / "images" / f"{k}{suffix}")
        label(root / "labels" / f"{k}_mask.png", (0, 1, k))
    pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
    data = look(root)
    for split in ("train", "val"):
        for sample in DATASETS.build(dataset_cfg(data, split, pipeline)):
            k = int(Path(sample["data_samples"].img_path).name[0])
            assert sample["data_samples"].gt_sem_seg.data.unique().tolist() == sorted({0, 1, k})


def test_what_is_lost_in_loading_is_told(plain, look):
    Image.new("RGBA", SIZE).save(plain / "images/train/a.png")
    (plain / "images/train/a.jpg").unlink()
    notes = look(plain).notes
    assert any(
        "Warning: 1 images have an alpha channel (RGBA): loading drops it ('a.png')" in n for n in notes
    )
    assert look(plain).notes == notes, "remembered"


def test_a_link_that_leads_back(plain, look):
    (plain / "images/train/again").symlink_to(plain / "images", target_is_directory=True)
    (plain / "labels/train/again").symlink_to(plain / "labels/train", target_is_directory=True)
    with pytest.raises(InputError, match="1 images of .* have no label in .*'again/val/c.jpg'"):
        look(plain)
    (plain / "images/train/again").unlink()
    assert look(plain).train.count == 2


@pytest.mark.parametrize("name", [b" a", b"a ", b"a\nb", b"a\xff"])
def test_names_that_mmseg_would_not_find(name, plain, look):
    for folder, suffix in (("images", b".jpg"), ("labels", b".png")):
        old = plain / folder / "train" / f"a{suffix.decode()}"
        old.rename(os.fsdecode(os.fsencode(old.parent) + b"/" + name + suffix))
    with pytest.raises(InputError, match="1 names in .*images/train' cannot stand in a list.* Rename"):
        look(plain)


@pytest.mark.parametrize("name", ["a\0b", "a" * 5000])
def test_a_folder_that_cannot_be(name, look, tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        recognise(name, "segmentation", cache_dir=tmp_path / "cache")
