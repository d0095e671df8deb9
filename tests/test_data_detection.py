"""Recognition of COCO and Pascal VOC: arrangements, classes, splits, and every refusal's message."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmbackbones import InputError
from mmbackbones.data.layouts import dataset_cfg, evaluator_cfg, recognise
from mmbackbones.data.shapes import CLASSES, write_shapes


def draw(path: Path, size: tuple[int, int] = (32, 24)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)
    return path


def coco(names: list[str], *, box: list[float] | None = None, first_id: int = 1) -> dict[str, Any]:
    """A COCO dict: one cat and one dog in each 32x24 image; ids have gaps and are not sorted."""
    images = [dict(id=first_id + k, file_name=name, width=32, height=24) for k, name in enumerate(names)]
    annotations = []
    for image in images:
        for category in (17, 4):
            number = len(annotations) + 1
            annotations.append(
                dict(
                    id=number,
                    image_id=image["id"],
                    category_id=category,
                    bbox=box or [2, 3, 10, 8],
                    area=80,
                    iscrowd=0,
                )
            )
    categories = [dict(id=17, name="dog"), dict(id=4, name="cat")]
    return dict(info={}, images=images, annotations=annotations, categories=categories)


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def state(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(root.rglob("*"))}


@pytest.fixture
def plain(tmp_path):
    """``images/`` with train.json (a, b) and val.json (c)."""
    root = tmp_path / "set"
    for name in "abc":
        draw(root / "images" / f"{name}.jpg")
    write(root / "train.json", coco(["a.jpg", "b.jpg"]))
    write(root / "val.json", coco(["c.jpg"]))
    return root


@pytest.fixture
def look(tmp_path):
    """Recognise a folder for detection and check that nothing in it was changed."""

    def run(root: Path, **kwargs):
        before = state(root) if root.is_dir() else {}
        try:
            return recognise(root, "detection", cache_dir=tmp_path / "cache", **kwargs)
        finally:
            assert (state(root) if root.is_dir() else {}) == before

    return run


# --- COCO


def test_plain_coco(plain, look):
    data = look(plain)
    assert (data.layout, data.task, data.root) == ("coco", "detection", plain)
    assert data.classes == ("dog", "cat"), "in the order of the file, whatever the ids"
    assert data.train.img_dir == data.val.img_dir == plain / "images"
    assert data.train.ann_file == plain / "train.json", "nothing to mend: the user's own file"
    assert (data.train.count, data.val.count) == (2, 1)
    assert data.notes == ()
    assert not data.has_masks
    assert len(set(data.palette)) == 2


ARRANGEMENTS = {
    "coco 2017": (
        ("annotations/instances_train2017.json", "train2017/{}", "{}"),
        ("annotations/instances_val2017.json", "val2017/{}", "{}"),
    ),
    "annotations and images/split": (
        ("annotations/train.json", "images/train/{}", "{}"),
        ("annotations/val.json", "images/val/{}", "{}"),
    ),
    "images/train2017": (
        ("annotations/instances_train2017.json", "images/train2017/{}", "{}"),
        ("annotations/instances_val2017.json", "images/val2017/{}", "{}"),
    ),
    "roboflow": (
        ("train/_annotations.coco.json", "train/{}", "{}"),
        ("valid/_annotations.coco.json", "valid/{}", "{}"),
    ),
    "fiftyone": (
        ("train/labels.json", "train/data/{}", "{}"),
        ("validation/labels.json", "validation/data/{}", "{}"),
    ),
    "names with folders": (
        ("train.json", "pictures/{}", "pictures/{}"),
        ("val.json", "pictures/{}", "pictures/{}"),
    ),
    "beside the files": (("train.json", "{}", "{}"), ("val.json", "{}", "{}")),
    "names from images/": (
        ("annotations/train.json", "images/train/{}", "train/{}"),
        ("annotations/val.json", "images/val/{}", "val/{}"),
    ),
}


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_coco_arrangements(arrangement, tmp_path, look):
    root = tmp_path / "set"
    for (file, place, name), stems in zip(ARRANGEMENTS[arrangement], ("ab", "c"), strict=True):
        for stem in stems:
            draw(root / place.format(f"{stem}.jpg"))
        write(root / file, coco([name.format(f"{stem}.jpg") for stem in stems]))
    data = look(root)
    assert (data.train.count, data.val.count) == (2, 1)
    for split, stems in ((data.train, "ab"), (data.val, "c")):
        images = json.loads(split.ann_file.read_text())["images"]
        assert [(split.img_dir / image["file_name"]).stem for image in images] == list(stems)
        assert all((split.img_dir / image["file_name"]).is_file() for image in images)


def test_other_json_files_are_not_in_the_way(plain, look):
    write(plain / "classes.json", ["dog", "cat"])
    write(plain / "metrics.json", {"mAP": 1})
    write(plain / "annotations/captions_train2017.json", {})
    write(plain / "annotations/person_keypoints_train2017.json", coco(["a.jpg"]))
    assert look(plain).train.ann_file == plain / "train.json"


def test_a_test_split_is_named_and_not_used(plain, look):
    draw(plain / "images" / "t.jpg")
    write(plain / "test.json", coco(["t.jpg"]))
    data = look(plain)
    assert (data.train.count, data.val.count) == (2, 1)
    assert any("'test.json' is a test split and is not used" in note for note in data.notes)


def test_two_files_for_one_split_are_refused(plain, look):
    write(plain / "annotations/train_new.json", coco(["a.jpg"]))
    with pytest.raises(
        InputError, match="several annotation files for the train split.*train_new.json.*Keep one"
    ):
        look(plain)


def test_json_files_of_another_tool_are_not_taken_for_a_split(plain, look):
    for name in "ab":
        write(plain / "train" / f"{name}.json", dict(shapes=[], imagePath=f"{name}.jpg"))
    assert look(plain).train.ann_file == plain / "train.json"
    (plain / "train.json").unlink()
    (plain / "val.json").unlink()
    with pytest.raises(InputError, match="not recognised as a data set for detection"):
        look(plain)


def single(tmp_path: Path, count: int) -> Path:
    root = tmp_path / "one"
    names = [f"{k:02d}.png" for k in range(count)]
    for name in names:
        draw(root / "images" / name)
    write(root / "result.json", coco(names))
    return root


def names_of(split) -> set[str]:
    return {image["file_name"] for image in json.loads(split.ann_file.read_text())["images"]}


def test_no_validation_split_one_is_split_off(tmp_path, look):
    root = single(tmp_path, 10)
    data = look(root)
    assert (data.train.count, data.val.count) == (8, 2)
    assert names_of(data.train) | names_of(data.val) == {f"{k:02d}.png" for k in range(10)}
    assert not names_of(data.train) & names_of(data.val)
    for split in (data.train, data.val):
        content = json.loads(split.ann_file.read_text())
        assert len(content["annotations"]) == 2 * split.count
        assert {one["image_id"] for one in content["annotations"]} == {one["id"] for one in content["images"]}
        assert root not in split.ann_file.parents
    assert any("no validation split: 2 of 10 images were split off" in note for note in data.notes)


def test_the_split_depends_on_seed_and_fraction_only(tmp_path, look):
    root = single(tmp_path, 10)
    first = look(root)
    content = json.loads((root / "result.json").read_text())
    content["images"].reverse()
    write(root / "result.json", content)
    assert names_of(look(root).val) == names_of(first.val)
    assert names_of(look(root, seed=1).val) != names_of(first.val)
    assert look(root, val_fraction=0.5).val.count == 5
    assert names_of(first.val) == names_of(look(root).val), "another call must not rewrite these files"


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_neither_part_is_empty(tmp_path, look, fraction):
    data = look(single(tmp_path, 2), val_fraction=fraction)
    assert (data.train.count, data.val.count) == (1, 1)


def test_one_image_cannot_be_split(tmp_path, look):
    with pytest.raises(InputError, match="has 1 image and no validation split.*Add images"):
        look(single(tmp_path, 1))


@pytest.mark.parametrize("fraction", [0, 1, -0.5])
def test_bad_fraction(plain, look, fraction):
    with pytest.raises(InputError, match=f"val_fraction={fraction} must lie between 0 and 1"):
        look(plain, val_fraction=fraction)


def test_what_is_left_out_is_completed_in_a_copy(plain, look):
    content = coco(["a.jpg", "b.jpg"])
    for image in content["images"]:
        del image["width"], image["height"]
    for annotation in content["annotations"]:
        del annotation["id"], annotation["area"], annotation["iscrowd"]
    write(plain / "train.json", content)
    data = look(plain)
    assert data.train.ann_file != plain / "train.json"
    mended = json.loads(data.train.ann_file.read_text())
    assert [(one["width"], one["height"]) for one in mended["images"]] == [(32, 24)] * 2
    assert [one["id"] for one in mended["annotations"]] == [1, 2, 3, 4]
    assert {(one["area"], one["iscrowd"]) for one in mended["annotations"]} == {(80, 0)}


def test_boxes_over_the_edge_are_clipped_in_a_copy(plain, look):
    content = coco(["a.jpg", "b.jpg"])
    content["annotations"][0]["bbox"] = [-2, -1, 10, 10]
    content["annotations"][1]["bbox"] = [20.5, 20, 14, 4]
    write(plain / "train.json", content)
    data = look(plain)
    assert any(
        "2 boxes of 'train.json' that reach out of their images were clipped" in one for one in data.notes
    )
    mended = json.loads(data.train.ann_file.read_text())["annotations"]
    assert [one["bbox"] for one in mended[:3]] == [[0, 0, 8, 9], [20.5, 20, 11.5, 4], [2, 3, 10, 8]]
    assert [one["area"] for one in mended[:3]] == [72, 46, 80]


def test_a_masks_sliver_is_left_out(plain, look):
    content = coco(["a.jpg", "b.jpg"])
    content["annotations"][0].update(bbox=[3, 4, 1.03, 0.0], area=0.0, segmentation=[[3, 4, 3, 4, 4.03, 4]])
    write(plain / "train.json", content)
    data = look(plain)
    assert any("1 objects of 'train.json' whose boxes have no width or height" in note for note in data.notes)
    assert len(json.loads(data.train.ann_file.read_text())["annotations"]) == 3


def test_group_category_of_roboflow_is_no_class(plain, look):
    for name, stems in (("train", "ab"), ("val", "c")):
        content = coco([f"{stem}.jpg" for stem in stems])
        content["categories"] = [
            dict(id=0, name="pets", supercategory="none"),
            *(dict(one, supercategory="pets") for one in content["categories"]),
        ]
        write(plain / f"{name}.json", content)
    data = look(plain)
    assert data.classes == ("dog", "cat")
    assert any("'pets' only groups others" in note for note in data.notes)
    for split in (data.train, data.val):
        assert [one["name"] for one in json.loads(split.ann_file.read_text())["categories"]] == ["dog", "cat"]


def test_categories_in_another_order_are_brought_into_one(plain, look):
    content = coco(["c.jpg"])
    content["categories"] = [dict(id=17, name="cat"), dict(id=4, name="dog")]
    write(plain / "val.json", content)
    data = look(plain)
    mended = json.loads(data.val.ann_file.read_text())
    assert [one["name"] for one in mended["categories"]] == ["dog", "cat"]
    names = {one["id"]: one["name"] for one in mended["categories"]}
    assert [names[one["category_id"]] for one in mended["annotations"]] == ["cat", "dog"]


def test_images_in_both_splits_are_told(plain, look):
    write(plain / "val.json", coco(["a.jpg", "c.jpg"]))
    assert any("1 images are in both splits" in note for note in look(plain).notes)


def test_images_without_objects_are_told(plain, look):
    content = coco(["a.jpg", "b.jpg"])
    content["annotations"] = content["annotations"][:2]
    write(plain / "train.json", content)
    assert any("1 training images have no object" in note for note in look(plain).notes)


def test_masks_are_seen(plain, look):
    for name, stems in (("train", "ab"), ("val", "c")):
        content = coco([f"{stem}.jpg" for stem in stems])
        for annotation in content["annotations"]:
            annotation["segmentation"] = [[2, 3, 12, 3, 12, 11]]
        write(plain / f"{name}.json", content)
    data = look(plain)
    assert data.has_masks
    assert evaluator_cfg(data, "val", masks=True)["metric"] == ["bbox", "segm"]
    assert evaluator_cfg(data, "val")["metric"] == ["bbox"]


def test_masks_asked_of_data_without(plain, look):
    with pytest.raises(InputError, match="no instance masks for all objects"):
        evaluator_cfg(look(plain), "val", masks=True)


def test_unknown_split(plain, look):
    with pytest.raises(InputError, match="split='test' is unknown; use 'train' or 'val'"):
        dataset_cfg(look(plain), "test", [])


# --- refusals: what is changed in train.json, and what the message must say


def _images(**change):
    return lambda content: content["images"][1].update(change)


def _annotation(**change):
    return lambda content: content["annotations"][2].update(change)


REFUSED = {
    "missing image": (
        _images(file_name="gone.jpg"),
        r"names 1 of 2 images that are missing.*'gone.jpg'.*Put the",
    ),
    "image id": (
        _annotation(image_id=99),
        r"annotation 3 names the image id 99, which is missing.*Correct or",
    ),
    "image id of no kind": (_annotation(image_id=[1]), r"annotation 3 names the image id \[1\]"),
    "zero width": (
        _annotation(bbox=[1, 1, 0, 5]),
        r"annotation 3 of image 'b.jpg': box \[1, 1, 0, 5\] has zero or",
    ),
    "zero height with mask": (
        _annotation(bbox=[1, 1, 5, 0], segmentation=[[1, 1, 6, 1, 6, 2]]),
        r"annotation 3 of image 'b.jpg': box \[1, 1, 5, 0\] has zero or negative size",
    ),
    "negative size": (_annotation(bbox=[5, 5, -3, 5]), r"box \[5, 5, -3, 5\] has zero or negative size"),
    "outside": (
        _annotation(bbox=[40, 2, 5, 5]),
        r"of image 'b.jpg': box .* lies outside the image \(32x24\)",
    ),
    "outside, negative": (_annotation(bbox=[2, -9, 5, 9]), r"box \[2, -9, 5, 9\] lies outside the image"),
    "three numbers": (_annotation(bbox=[1, 2, 3]), r"box \[1, 2, 3\] is not \[x, y, width, height\]"),
    "not a number": (_annotation(bbox=[1, 2, float("nan"), 3]), r"box \[1, 2, nan, 3\] is not"),
    "text": (_annotation(bbox=["1", 2, 3, 4]), r"box \['1', 2, 3, 4\] is not"),
    "no box": (
        lambda content: content["annotations"][2].pop("bbox"),
        r"annotation 3 of image 'b.jpg': box None is",
    ),
    "category": (
        _annotation(category_id=5),
        r"annotation 3 of image 'b.jpg' has the category id 5, which no",
    ),
    "annotation id twice": (_annotation(id=1), r"1 annotation ids occur twice: '1'.*Number them anew"),
    "image id twice": (_images(id=1), r"two images have the id '1'"),
    "size": (_images(width=64), r"image sizes do not fit.*'b.jpg' is 32x24, not 64x24 as written.*Correct"),
    "no file name": (_images(file_name=None), r"1 of its images lack an 'id' .* or a 'file_name'"),
    "no annotations": (
        lambda content: content["annotations"].clear(),
        "empty data set: none of its 2 training",
    ),
    "no images": (lambda content: content["images"].clear(), r"train.json' is an empty data set.*Add images"),
    "no categories": (lambda content: content["categories"].clear(), "must list at least one category"),
    "category name twice": (
        lambda content: content["categories"][0].update(name="cat"),
        "two categories have the name 'cat'. Rename or merge",
    ),
    "category id twice": (
        lambda content: content["categories"][0].update(id=4),
        "two categories have the id '4'",
    ),
    "no key": (
        lambda content: content.pop("categories"),
        r"not a COCO detection file: 'categories' must be there",
    ),
    "wrong key": (
        lambda content: content.update(images={}),
        r"not a COCO detection file: 'images' must be there",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, plain, look):
    change, message = REFUSED[case]
    content = copy.deepcopy(coco(["a.jpg", "b.jpg"]))
    change(content)
    write(plain / "train.json", content)
    with pytest.raises(InputError, match=message) as caught:
        look(plain)
    assert "train.json" in str(caught.value), "the message names the file"


def test_many_problems_are_counted(plain, look):
    write(plain / "train.json", coco(["a.jpg", "b.jpg"], box=[0, 0, 0, 0]))
    with pytest.raises(InputError, match=r"4 of 4 annotations cannot be used: .* and 1 more"):
        look(plain)


@pytest.mark.parametrize("content", ["{not json", "", "\x00\x01", "[1, 2]"])
@pytest.mark.parametrize("name", ["train.json", "annotations.json"])
def test_a_broken_annotation_file(tmp_path, look, content, name):
    draw(tmp_path / "set/images/a.jpg")
    write(tmp_path / "set" / name, content)
    with pytest.raises(InputError, match=f"{name}' is not (JSON|a COCO).*Export it once more"):
        look(tmp_path / "set")


def test_val_with_unknown_category(plain, look):
    content = coco(["c.jpg"])
    content["categories"][0]["name"] = "wolf"
    write(plain / "val.json", content)
    with pytest.raises(InputError, match="val.json' has categories that .* has not: 'wolf'.*'dog', 'cat'"):
        look(plain)


def test_images_nowhere(plain, look):
    write(plain / "train.json", coco(["x/a.jpg", "x/b.jpg"]))
    with pytest.raises(InputError, match="names 2 images, as 'x/a.jpg', but they are in none of"):
        look(plain)


def test_bad_images(plain, look):
    (plain / "images/a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="1 of 2 images cannot be used: '.*a.jpg': the file is empty"):
        look(plain)
    (plain / "images/a.jpg").write_bytes(b"no image at all")
    with pytest.raises(InputError, match="a.jpg': it is not an image"):
        look(plain)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_an_image_that_is_cut_off(tmp_path, look, suffix):
    root = tmp_path / "set"
    for name in "ab":
        path = root / "images" / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((64, 64), 80).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    content = coco([f"a{suffix}", f"b{suffix}"])
    for image in content["images"]:
        image.update(width=64, height=64)
    write(root / "train.json", content)
    with pytest.raises(InputError, match=f"1 of 2 images cannot be used: '.*b{suffix}': .*truncated"):
        look(root)


def test_an_image_turned_by_its_camera(plain, look):
    exif = Image.Exif()
    exif[0x0112] = 6  # OpenCV and mmcv show it turned by 90 degrees
    Image.new("RGB", (24, 32)).save(plain / "images/a.jpg", exif=exif)
    assert look(plain).train.count == 2
    Image.new("RGB", (32, 24)).save(plain / "images/a.jpg", exif=exif)
    with pytest.raises(InputError, match="'a.jpg' is 24x32, not 32x24"):
        look(plain)


def test_files_are_read_again_only_if_they_changed(plain, look, monkeypatch):
    from mmbackbones.data import scan

    look(plain)
    read = []
    real = scan.read_size
    monkeypatch.setattr(scan, "read_size", lambda path: read.append(path.name) or real(path))
    look(plain)
    assert read == []
    draw(plain / "images/b.jpg", (32, 25))
    with pytest.raises(InputError, match="'b.jpg' is 32x25, not 32x24"):
        look(plain)
    assert read == ["b.jpg"]


def test_progress_is_told(plain, look):
    calls: list[tuple[str, int, int]] = []
    look(plain, progress=lambda *call: calls.append(call))
    assert calls == [("images", 1, 2), ("images", 2, 2), ("images", 1, 1)]


def test_no_such_folder(tmp_path, look):
    with pytest.raises(InputError, match="There is no folder '.*nowhere'"):
        look(tmp_path / "nowhere")


def test_not_recognised(tmp_path, look):
    with pytest.raises(
        InputError, match=r"not recognised .* for detection. It is empty. Looked for COCO: .*Pascal VOC"
    ):
        look(tmp_path)
    write(tmp_path / "labels/a.txt", "0 0.5 0.5 0.1 0.1")
    with pytest.raises(InputError, match="It holds labels/"):
        look(tmp_path)


def test_unknown_task(plain, tmp_path):
    with pytest.raises(InputError, match="task='keypoints' is unknown; use 'detection' or 'segmentation'"):
        recognise(plain, "keypoints", cache_dir=tmp_path)


def test_cache_that_cannot_be_written(plain, tmp_path):
    write(tmp_path / "file", "")
    with pytest.raises(InputError, match="Cannot write '.*file/.*Choose a work folder"):
        recognise(plain, "detection", cache_dir=tmp_path / "file" / "cache")


# --- Pascal VOC


def voc_xml(*objects: tuple[str, int, int, int, int, int], size: tuple[object, object] = (32, 24)) -> str:
    written = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1, difficult in objects
    )
    return (
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{written}</annotation>"
    )


def make_voc(base: Path, xml: str | None = None) -> Path:
    for name in "abcd":
        draw(base / "JPEGImages" / f"{name}.jpg")
        default = voc_xml(("sheep", 1, 1, 10, 20, 0), ("dog", 3, 3, 3, 5, 1))
        write(base / "Annotations" / f"{name}.xml", xml or default)
    return base


@pytest.mark.parametrize("nest", [".", "VOCdevkit/VOC2007", "VOC2012"])
def test_voc(tmp_path, look, nest):
    base = make_voc(tmp_path / "voc" / nest)
    write(base / "ImageSets/Main/train.txt", "a\nb\nc\n")
    write(base / "ImageSets/Main/val.txt", "d\n")
    data = look(tmp_path / "voc")
    assert (data.layout, data.classes) == ("voc", ("dog", "sheep"))
    assert (data.train.count, data.val.count) == (3, 1)
    assert data.train.img_dir == base.resolve() / "JPEGImages"
    content = json.loads(data.val.ann_file.read_text())
    assert content["images"] == [dict(id=1, file_name="d.jpg", width=32, height=24)]
    sheep, dog = content["annotations"]
    assert sheep["bbox"] == [0, 0, 10, 20], "1-based, both ends included"
    assert (dog["bbox"], dog["iscrowd"], sheep["iscrowd"]) == ([2, 2, 1, 3], 1, 0)
    assert any("4 objects marked difficult" in note for note in data.notes)


def test_voc_without_lists_is_split(tmp_path, look):
    data = look(make_voc(tmp_path / "voc"), val_fraction=0.25)
    assert (data.train.count, data.val.count) == (3, 1)
    assert any("no validation split" in note for note in data.notes)


def test_voc_trainval_is_split(tmp_path, look):
    base = make_voc(tmp_path / "voc")
    write(base / "ImageSets/Main/trainval.txt", "a\nb.jpg\n")
    write(base / "ImageSets/Main/test.txt", "c\nd\n")
    data = look(base)
    assert names_of(data.train) | names_of(data.val) == {"a.jpg", "b.jpg"}


def test_voc_counted_from_zero(tmp_path, look):
    data = look(make_voc(tmp_path / "voc", voc_xml(("cow", 0, 2, 10, 20, 0))))
    content = json.loads(data.train.ann_file.read_text())
    assert content["annotations"][0]["bbox"] == [0, 2, 10, 18]
    assert any("counted from 0" in note for note in data.notes)


def test_voc_classes_file_gives_the_order(tmp_path, look):
    base = make_voc(tmp_path / "voc")
    write(base / "classes.txt", "sheep\ndog\nhorse\n")
    assert look(base).classes == ("sheep", "dog", "horse")
    write(base / "classes.txt", "sheep\n")
    with pytest.raises(InputError, match="named 'dog', which '.*classes.txt' does not list"):
        look(base)


VOC_REFUSED = {
    "no objects": (voc_xml(), "Annotations' is an empty data set: none of its 4 files has an <object>"),
    "no name": (voc_xml(("", 1, 1, 5, 5, 0)), "'a.xml': object 1 has no <name>. Add it"),
    "broken": ("<annotation>", "a.xml' is not readable as XML"),
    "negative": (
        voc_xml(("dog", 9, 1, 5, 5, 0)),
        r"object 1 \(dog\) of 'a.xml' of image 'a.jpg': box .* has zero or",
    ),
    "outside": (voc_xml(("dog", 40, 1, 50, 5, 0)), r"object 1 \(dog\) of 'a.xml'.* lies outside the image"),
    "no corner": (
        "<annotation><object><name>dog</name></object></annotation>",
        r"object 1 \(dog\) of 'a.xml'.* is not",
    ),
    "size": (voc_xml(("dog", 1, 1, 5, 5, 0), size=(64, 24)), "'a.jpg' is 32x24, not 64x24"),
    "size is text": (
        voc_xml(("dog", 1, 1, 5, 5, 0), size=("wide", 24)),
        "'a.xml': <size/width> is 'wide'",
    ),
}


@pytest.mark.parametrize("case", VOC_REFUSED)
def test_voc_refused(case, tmp_path, look):
    xml, message = VOC_REFUSED[case]
    with pytest.raises(InputError, match=message):
        look(make_voc(tmp_path / "voc", xml))


def test_voc_missing_files(tmp_path, look):
    base = make_voc(tmp_path / "voc")
    write(base / "ImageSets/Main/train.txt", "a\nb\nzebra\n")
    with pytest.raises(InputError, match="ImageSets names 'zebra', but there is no '.*zebra.xml'"):
        look(base)
    write(base / "Annotations/zebra.xml", voc_xml(("dog", 1, 1, 5, 5, 0)))
    with pytest.raises(InputError, match="images that are missing in .*JPEGImages': 'zebra.jpg'"):
        look(base)
    write(base / "ImageSets/Main/train.txt", "\n")
    with pytest.raises(InputError, match="train.txt' names no image"):
        look(base)


def test_two_voc_sets(tmp_path, look):
    for year in ("VOC2007", "VOC2012"):
        make_voc(tmp_path / "set/VOCdevkit" / year)
    with pytest.raises(InputError, match="several VOC data sets: .*VOC2007.*VOC2012.*Give the folder of one"):
        look(tmp_path / "set")


# --- what mmdet makes of it


@pytest.fixture(scope="module")
def mmdet_datasets():
    return pytest.importorskip("mmdet.datasets", reason="mmdet is in the extra mmbackbones[mm]")


def build(data, split: str, pipeline: list[dict]):
    from mmdet.registry import DATASETS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    return DATASETS.build(dataset_cfg(data, split, pipeline))


LOAD = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="PackDetInputs"),
]


def test_mmdet_loads_the_shapes(tmp_path, mmdet_datasets, look):
    root = write_shapes(tmp_path / "shapes", train=3, val=2)
    data = look(root)
    assert (data.classes, data.has_masks, data.notes) == (CLASSES, True, ())
    for split, count in (("train", 3), ("val", 2)):
        dataset = build(data, split, LOAD)
        assert len(dataset) == count
        assert dataset.metainfo["classes"] == CLASSES
        content = json.loads((root / f"{split}.json").read_text())
        for sample in dataset:
            truth = sample["data_samples"].gt_instances
            mine = [one for one in content["annotations"] if one["image_id"] == sample["data_samples"].img_id]
            assert tuple(sample["inputs"].shape) == (3, 192, 192)
            assert [CLASSES[label] for label in truth.labels] == [
                CLASSES[one["category_id"] - 1] for one in mine
            ]
            assert truth.masks.areas.tolist() == [one["area"] for one in mine]
            corners = [[x, y, x + w, y + h] for x, y, w, h in (one["bbox"] for one in mine)]
            assert truth.bboxes.tensor.tolist() == corners


def test_mmdet_scores_perfect_masks_as_perfect(tmp_path, mmdet_datasets, look):
    import torch
    from mmdet.registry import METRICS
    from mmdet.structures.mask import encode_mask_results

    data = look(write_shapes(tmp_path / "shapes", train=1, val=1))
    dataset = build(data, "val", LOAD)
    metric = METRICS.build(evaluator_cfg(data, "val", masks=True))
    metric.dataset_meta = dataset.metainfo
    sample = dataset[0]["data_samples"]
    truth = sample.gt_instances
    found = dict(
        bboxes=truth.bboxes.tensor,
        labels=truth.labels,
        scores=torch.ones(len(truth)),
        masks=encode_mask_results(truth.masks.masks),
    )
    metric.process({}, [dict(img_id=sample.img_id, ori_shape=sample.ori_shape, pred_instances=found)])
    scores = metric.evaluate(size=1)
    assert (scores["coco/bbox_mAP"], scores["coco/segm_mAP"]) == (1.0, 1.0)


def test_mmdet_sees_the_classes_in_our_order(plain, mmdet_datasets, look):
    data = look(plain)
    sample = build(data, "train", [LOAD[0], dict(type="LoadAnnotations", with_bbox=True), LOAD[2]])[0]
    assert [data.classes[label] for label in sample["data_samples"].gt_instances.labels] == ["dog", "cat"]


def test_mmdet_leaves_images_without_objects_out_of_training_only(plain, mmdet_datasets, look):
    for name, stems in (("train", "ab"), ("val", "ac")):
        content = coco([f"{stem}.jpg" for stem in stems])
        content["annotations"] = content["annotations"][:2]
        write(plain / f"{name}.json", content)
    data = look(plain)
    assert len(build(data, "train", [])) == 1
    assert len(build(data, "val", [])) == 2


def test_mmdet_ignores_difficult_objects(tmp_path, mmdet_datasets, look):
    data = look(make_voc(tmp_path / "voc"))
    sample = build(data, "train", [LOAD[0], dict(type="LoadAnnotations", with_bbox=True), LOAD[2]])[0]
    assert [data.classes[label] for label in sample["data_samples"].gt_instances.labels] == ["sheep"]
    assert [data.classes[label] for label in sample["data_samples"].ignored_instances.labels] == ["dog"]


def test_mmdet_scores_perfect_boxes_as_perfect(plain, mmdet_datasets, look):
    import torch
    from mmdet.registry import METRICS

    content = coco(["c.jpg"])
    content["categories"].reverse()  # ids and order differ from train.json's
    content["annotations"][0]["bbox"] = [20, 10, 10, 12]
    write(plain / "val.json", content)
    data = look(plain)
    dataset = build(data, "val", [LOAD[0], dict(type="LoadAnnotations", with_bbox=True), LOAD[2]])
    metric = METRICS.build(evaluator_cfg(data, "val"))
    metric.dataset_meta = dataset.metainfo
    sample = dataset[0]["data_samples"]
    truth = sample.gt_instances
    found = dict(bboxes=truth.bboxes.tensor, labels=truth.labels, scores=torch.ones(len(truth)))
    metric.process({}, [dict(img_id=sample.img_id, ori_shape=sample.ori_shape, pred_instances=found)])
    assert metric.evaluate(size=1)["coco/bbox_mAP"] == 1.0
