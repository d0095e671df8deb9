"""Recognition of Pascal VOC, and its refusals."""

from __future__ import annotations

import json

import pytest
from detection_sets import make_voc, names_of, voc_xml, write

from mmbackbones import InputError


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
