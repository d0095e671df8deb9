"""COCO data that is refused, or that is told about: what the message must say."""

from __future__ import annotations

import copy

import pytest
from detection_sets import coco, draw, write
from PIL import Image

from mmbackbones import InputError
from mmbackbones.data.layouts import recognise


def _images(**change):
    return lambda content: content["images"][1].update(change)


def _annotation(**change):
    return lambda content: content["annotations"][2].update(change)


def _shares(content):
    for annotation in content["annotations"]:
        annotation["bbox"] = [0.25, 0.25, 0.5, 0.5]


REFUSED = {
    "shares of the image": (_shares, r"all \d+ boxes are smaller than a pixel.*0\.25.*in pixels; multiply"),
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
    "area": (_annotation(area="big"), r"annotation 3 of image 'b.jpg': area 'big' is no number"),
    "crowd": (_annotation(iscrowd="yes"), r"annotation 3 of image 'b.jpg': iscrowd 'yes' is no number"),
    "name too long": (_images(file_name="a" * 5000 + ".jpg"), r"names 1 of 2 images that are missing"),
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


@pytest.mark.parametrize("content", ["{not json", "", "\x00\x01", "[1, 2]", "[" * 100_000])
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
