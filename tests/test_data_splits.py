"""Test splits, splits of their own, subsets of the classes: as recognised, and as configs use them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from detection_sets import coco, draw, make_voc, names_of, write
from fit_cases import DEEPLAB, FASTER
from PIL import Image
from segmentation_sets import image, label, names

from mmbackbones import InputError
from mmbackbones.compose.configs import load_config
from mmbackbones.compose.fit import Settings, fit, fit_for_test
from mmbackbones.data.layouts import dataset_cfg, evaluator_cfg


@pytest.fixture
def with_test(plain: Path) -> Path:
    """``plain`` with test.json (d), whose categories stand in another order."""
    draw(plain / "images" / "d.jpg")
    content = coco(["d.jpg"], first_id=70)
    content["categories"].reverse()
    write(plain / "test.json", content)
    return plain


def test_the_test_split_is_read_when_it_is_asked_for(look, with_test: Path) -> None:
    assert look(with_test).test is None
    data = look(with_test, test=True)
    assert names_of(data.test) == {"d.jpg"}
    assert names_of(data.val) == {"c.jpg"}
    assert dataset_cfg(data, "test", [])["ann_file"] == evaluator_cfg(data, "test")["ann_file"]
    order = [one["name"] for one in json.loads(data.test.ann_file.read_text())["categories"]]
    assert tuple(order) == data.classes
    (with_test / "test.json").unlink()
    with pytest.raises(InputError, match="no test split. Looked for a test.json"):
        look(with_test, test=True)


def test_vocs_test_txt(look, tmp_path: Path) -> None:
    base = make_voc(tmp_path / "voc")
    for split, stems in (("train", "a\nb"), ("val", "c"), ("test", "d")):
        write(base / "ImageSets/Main" / f"{split}.txt", stems)
    assert any("test.txt are a test split and are not used" in note for note in look(base).notes)
    assert names_of(look(base, test=True).test) == {"d.jpg"}
    for split in ("train", "val"):
        (base / "ImageSets/Main" / f"{split}.txt").unlink()
    data = look(base, test=True)
    assert names_of(data.test) == {"d.jpg"}
    assert len(names_of(data.train) | names_of(data.val)) == 3  # what is tested is not trained on


def test_splits_of_their_own(look, plain: Path, tmp_path: Path) -> None:
    for name in "xy":
        draw(tmp_path / "own" / "images" / f"{name}.jpg")
    file = write(tmp_path / "own" / "held_out.json", coco(["x.jpg", "y.jpg"]))
    assert names_of(look(plain, val=file, test=file.parent).val) == {"x.jpg", "y.jpg"}
    (plain / "val.json").unlink()
    data = look(plain, val=file)
    assert names_of(data.train) == {"a.jpg", "b.jpg"}  # none is split off
    with pytest.raises(InputError, match="--val .*nothing: there is no such folder or COCO file"):
        look(plain, val=tmp_path / "nothing")
    with pytest.raises(InputError, match="--test .* has the splits 'train', but none for 'test'"):
        look(plain, test=plain)


def test_label_maps_of_a_test_folder(look_at_labels, labelled: Path) -> None:
    image(labelled / "images/test/t.jpg")
    with pytest.raises(InputError, match="no test split"):
        look_at_labels(labelled, test=True)  # images without labels
    label(labelled / "labels/test/t.png")
    assert names(look_at_labels(labelled, test=True).test) == ["t"]
    assert look_at_labels(labelled).test is None
    own = labelled.parent / "own"
    image(own / "images/o.jpg")
    label(own / "labels/o.png")
    assert names(look_at_labels(labelled, val=own).val) == ["o"]


def test_a_subset_of_the_boxes(look, plain: Path) -> None:
    data = look(plain, classes=["cat"])
    assert data.classes == ("cat",)
    assert data.subset
    content = json.loads(data.train.ann_file.read_text())
    assert {one["category_id"] for one in content["annotations"]} == {4}
    assert len(content["images"]) == 2
    assert look(plain, classes=["cat", "dog"]).classes == ("cat", "dog")  # another order than the file's
    with pytest.raises(InputError, match="no class 'cats'. Did you mean 'cat'"):
        look(plain, classes=["cats"])
    with pytest.raises(InputError, match="'cat' twice"):
        look(plain, classes=["cat", "cat"])


def test_a_subset_of_the_labels(look_at_labels, labelled: Path) -> None:
    write(labelled / "classes.txt", "sky\nroad\ncar\n")
    data = look_at_labels(labelled, classes=["car", "sky"])
    assert data.classes == ("car", "sky")
    assert data.label_map == {2: 0, 0: 1, 1: 255}
    assert data.frequencies == pytest.approx([0.25, 0.25])
    with pytest.raises(InputError, match="has one class, 'car', and ignores .* background, .* --classes"):
        look_at_labels(labelled, classes=["car"])


def test_frequencies(look, plain: Path) -> None:
    content = coco(["a.jpg", "b.jpg"])
    del content["annotations"][0]
    write(plain / "train.json", content)
    assert dict(zip(*(getattr(look(plain), key) for key in ("classes", "frequencies")), strict=True)) == {
        "dog": 0.5,
        "cat": 1.0,
    }


def test_configs_follow(with_test: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = load_config(FASTER)
    settings = Settings(
        with_test, epochs=1, classes=("cat",), test=with_test / "test.json", class_balance=True
    )
    notes = fit(cfg, settings, cache_dir=tmp_path / "cache")
    assert capsys.readouterr().out == ""  # it is the command that speaks
    assert cfg.model.roi_head.bbox_head.num_classes == 1
    assert cfg.train_dataloader.dataset.type == "ClassBalancedDataset"
    assert cfg.train_dataloader.dataset.dataset.metainfo.classes == ("cat",)
    assert "test.json" in cfg.test_dataloader.dataset.ann_file
    assert cfg.test_evaluator.ann_file == cfg.test_dataloader.dataset.ann_file
    assert any("cat 100%" in note for note in notes)
    # other data is read for the classes of the training
    fit_for_test(cfg, Settings(with_test, split="val"), cache_dir=tmp_path / "again")
    assert cfg.test_dataloader.dataset.metainfo.classes == ("cat",)
    assert "val.json" in cfg.test_dataloader.dataset.ann_file


def test_class_weights(labelled: Path, tmp_path: Path) -> None:
    for file in (labelled / "labels/train").iterdir():
        pixels = np.zeros((12, 20), np.uint8)
        pixels[:6], pixels[0, :2] = 1, 2
        Image.fromarray(pixels).save(file)
    cfg = load_config(DEEPLAB)
    notes = fit(cfg, Settings(labelled, epochs=1, class_balance=True), cache_dir=tmp_path / "cache")
    weights = cfg.model.decode_head.loss_decode.class_weight
    assert weights == pytest.approx([118 / 120, 1.0, 10.0], abs=0.01)
    assert any("class_2 10" in note for note in notes)


def test_splits_of_their_own_are_read_for_the_classes_that_are_kept(with_test: Path, tmp_path: Path) -> None:
    cfg = load_config(FASTER)
    own = write(with_test / "own" / "own.json", (with_test / "test.json").read_text())
    draw(own.parent / "images" / "d.jpg")
    settings = dict(classes=("cat",), val=own, test=own.parent, class_balance=True)
    notes = fit(cfg, Settings(with_test, epochs=1, **settings), cache_dir=tmp_path / "boxes")
    assert any("so many of the images: cat 100%" in note for note in notes)
    for part in ("val", "test"):
        dataset = cfg[f"{part}_dataloader"].dataset
        assert dataset.metainfo.classes == ("cat",)
        categories = json.loads(Path(dataset.ann_file).read_text())["categories"]
        assert [one["name"] for one in categories] == ["cat"]


def test_the_classes_that_are_kept_are_weighed(labelled: Path, tmp_path: Path) -> None:
    cfg = load_config(DEEPLAB)
    settings = dict(classes=("class_2", "class_1"), ignore_labels=[0], val=labelled, class_balance=True)
    fit(cfg, Settings(labelled, epochs=1, **settings), cache_dir=tmp_path / "cache")
    for part in ("train", "val"):
        dataset = cfg[f"{part}_dataloader"].dataset
        assert dataset.metainfo.classes == ("class_2", "class_1")
        assert dataset.label_map == {2: 0, 0: 255}
    assert cfg.model.decode_head.num_classes == len(cfg.model.decode_head.loss_decode.class_weight) == 2


@pytest.mark.parametrize("option", ["val", "test", "classes", "class_balance"])
def test_what_is_about_data_needs_data(option: str, tmp_path: Path) -> None:
    value = {"classes": ("a",), "class_balance": True}.get(option, tmp_path)
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')} is about --data"):
        fit(load_config(FASTER), Settings(**{option: value}), cache_dir=tmp_path)
