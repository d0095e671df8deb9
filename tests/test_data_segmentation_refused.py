"""Image and label folders that are refused, or told about: every message."""

from __future__ import annotations

import os

import pytest
from PIL import Image
from segmentation_sets import SIZE, image, label

from mmbackbones import InputError
from mmbackbones.data.layouts import recognise
from mmbackbones.data.shapes import write_shapes


def test_image_without_label(labelled, look_at_labels):
    (labelled / "labels/train/b.png").unlink()
    with pytest.raises(InputError, match="1 images of '.*train' have no label in .*'b.jpg'.*add the labels"):
        look_at_labels(labelled)


def test_label_without_image(labelled, look_at_labels):
    label(labelled / "labels/train/z.png")
    with pytest.raises(InputError, match="1 labels of '.*train' have no image in .*'z.png'.*add the images"):
        look_at_labels(labelled)


def test_split_without_labels(labelled, look_at_labels):
    (labelled / "labels/val/c.png").unlink()
    (labelled / "labels/val").rmdir()
    with pytest.raises(InputError, match="images/val' has no partner 'val' in '.*labels'"):
        look_at_labels(labelled)


def test_two_images_of_one_name(labelled, look_at_labels):
    image(labelled / "images/train/b.png")
    with pytest.raises(InputError, match="several files that differ in the suffix only, as 'b.jpg'"):
        look_at_labels(labelled)


def test_labels_of_several_suffixes(labelled, look_at_labels):
    (labelled / "labels/train/b.png").unlink()
    label(labelled / "labels/train/b.tif")
    with pytest.raises(
        InputError, match="labels in .* have several suffixes: '.png', '.tif'. Save all as .png"
    ):
        look_at_labels(labelled)


def test_no_images(labelled, look_at_labels):
    for path in (labelled / "images/train").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="images/train' is an empty data set"):
        look_at_labels(labelled)


@pytest.mark.parametrize(
    ("folder", "suffix", "what"), [("images", ".jpg", "images"), ("labels", ".png", "labels")]
)
def test_bad_files(labelled, look_at_labels, folder, suffix, what):
    path = labelled / folder / f"train/a{suffix}"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=f"1 of 2 {what} cannot be used: '.*a{suffix}': the file is empty"):
        look_at_labels(labelled)
    path.write_bytes(b"no image at all")
    with pytest.raises(InputError, match=f"a{suffix}': it is not an image"):
        look_at_labels(labelled)


def test_data_for_the_other_task(tmp_path, labelled):
    with pytest.raises(InputError, match="It looks like data for segmentation: use a segmentation config"):
        recognise(labelled, "detection", cache_dir=tmp_path / "cache")
    root = write_shapes(tmp_path / "shapes", train=1, val=1)
    for path in (root / "labels").rglob("*.png"):
        path.unlink()
    with pytest.raises(InputError, match="It looks like data for detection: use a detection config"):
        recognise(root, "segmentation", cache_dir=tmp_path / "cache")


def test_not_recognised(tmp_path, look_at_labels):
    (tmp_path / "set").mkdir()
    with pytest.raises(
        InputError, match=r"not recognised .* for segmentation. It is empty. Looked for folders images/"
    ):
        look_at_labels(tmp_path / "set")


def test_what_is_lost_in_loading_is_told(labelled, look_at_labels):
    Image.new("RGBA", SIZE).save(labelled / "images/train/a.png")
    (labelled / "images/train/a.jpg").unlink()
    notes = look_at_labels(labelled).notes
    assert any(
        "Warning: 1 images have an alpha channel (RGBA): loading drops it ('a.png')" in n for n in notes
    )
    assert look_at_labels(labelled).notes == notes, "remembered"


def test_a_link_that_leads_back(labelled, look_at_labels):
    (labelled / "images/train/again").symlink_to(labelled / "images", target_is_directory=True)
    (labelled / "labels/train/again").symlink_to(labelled / "labels/train", target_is_directory=True)
    with pytest.raises(InputError, match="1 images of .* have no label in .*'again/val/c.jpg'"):
        look_at_labels(labelled)
    (labelled / "images/train/again").unlink()
    assert look_at_labels(labelled).train.count == 2


@pytest.mark.parametrize("name", [b" a", b"a ", b"a\nb", b"a\xff"])
def test_names_that_mmseg_would_not_find(name, labelled, look_at_labels):
    for folder, suffix in (("images", b".jpg"), ("labels", b".png")):
        old = labelled / folder / "train" / f"a{suffix.decode()}"
        old.rename(os.fsdecode(os.fsencode(old.parent) + b"/" + name + suffix))
    with pytest.raises(InputError, match="1 names in .*images/train' cannot stand in a list.* Rename"):
        look_at_labels(labelled)


@pytest.mark.parametrize("name", ["a\0b", "a" * 5000])
def test_a_folder_that_cannot_be(name, look_at_labels, tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        recognise(name, "segmentation", cache_dir=tmp_path / "cache")
