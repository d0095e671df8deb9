"""Classes and label values of image and label folders."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from segmentation_sets import SIZE, image, label

from mmbackbones import InputError
from mmbackbones.data.labels import read_classes

# --- classes


def test_classes_from_the_values_that_occur(labelled, look_at_labels):
    label(labelled / "labels/val/c.png", (0, 4))
    data = look_at_labels(labelled)
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
def test_bad_classes_file(case, labelled, look_at_labels):
    name, content, message = BAD_CLASS_FILES[case]
    (labelled / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        look_at_labels(labelled)


def test_palette_of_the_file_is_used(labelled, look_at_labels):
    colours = [[k, k, k] for k in range(3)]
    (labelled / "classes.json").write_text(json.dumps(dict(classes=["a", "b", "c"], palette=colours)))
    assert look_at_labels(labelled).palette == ((0, 0, 0), (1, 1, 1), (2, 2, 2))


# --- refusals


def test_label_value_without_a_class(labelled, look_at_labels):
    (labelled / "classes.txt").write_text("road\ncar\n")
    with pytest.raises(
        InputError, match=r"3 labels .*a.png holds 2'.*Allowed are 0 to 1 \(2 classes: 'road', 'car'"
    ):
        look_at_labels(labelled)


def test_labels_that_are_all_ignored(labelled, look_at_labels):
    (labelled / "classes.txt").write_text("one\ntwo\nthree\n")
    for file in labelled.glob("labels/*/*.png"):
        label(file, (255,))
    with pytest.raises(InputError, match=r"No label of .* holds a class: .*'ignore' \('255'\).*'one', 'two'"):
        look_at_labels(labelled)


def test_masks_of_0_and_255(labelled, look_at_labels):
    for path in (labelled / "labels").rglob("*.png"):
        label(path, (0, 255))
    with pytest.raises(
        InputError, match="only the value 0 beside 255, which means 'ignore'.*becomes 0 and 1"
    ):
        look_at_labels(labelled)


def test_coloured_label(labelled, look_at_labels):
    image(labelled / "labels/train/b.png")
    with pytest.raises(InputError, match=r"1 of 2 labels cannot be used: '.*b.png': it has colours \(RGB\)"):
        look_at_labels(labelled)


@pytest.mark.parametrize("mode", ["P", "I;16", "1"])
def test_other_one_channel_labels(labelled, look_at_labels, mode):
    pixels = np.resize(np.array([0, 1], np.uint8), SIZE[::-1])
    picture = Image.fromarray(
        pixels.astype(np.uint16) if mode == "I;16" else pixels * (255 if mode == "1" else 1)
    )
    if mode == "P":
        picture.putpalette([0, 0, 0, 200, 10, 10])
    for path in (labelled / "labels").rglob("*.png"):
        (picture.convert("1") if mode == "1" else picture).save(path)
        assert Image.open(path).mode in (mode, mode.partition(";")[0])  # Pillow 10.1 reads I;16 as I
    assert look_at_labels(labelled).classes == ("class_0", "class_1")


def test_size_of_label_and_image(labelled, look_at_labels):
    label(labelled / "labels/train/b.png", size=(20, 13))
    with pytest.raises(InputError, match=r"1 labels .* differ in size .*'b.png is 20x13, its image 20x12'"):
        look_at_labels(labelled)
