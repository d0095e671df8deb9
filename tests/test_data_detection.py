"""Recognition of COCO: arrangements, classes, splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from detection_sets import coco, draw, names_of, write

from mmbackbones import InputError
from mmbackbones.data.layouts import dataset_cfg, evaluator_cfg


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
    for mask in ("text", {"counts": 3}, [[2, 3, "x", 3]], [2, 3, 12, 3, 12, 11]):
        content["annotations"][0]["segmentation"] = mask
        write(plain / "val.json", content)
        assert not look(plain).has_masks, mask


def test_masks_asked_of_data_without(plain, look):
    with pytest.raises(InputError, match="no instance masks for all objects"):
        evaluator_cfg(look(plain), "val", masks=True)


def test_unknown_split(plain, look):
    with pytest.raises(InputError, match="has no test split that was read"):
        dataset_cfg(look(plain), "test", [])
    with pytest.raises(InputError, match="split='dev' is unknown; use 'train', 'val', 'test'"):
        dataset_cfg(look(plain), "dev", [])
