"""Label values that mean 'ignore': named by the user, known of a data set, or loudly in doubt."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbackbones import InputError
from mmbackbones.cli import main
from mmbackbones.data.layouts import dataset_cfg, recognise
from mmbackbones.data.naming import CAMVID_CLASSES

SIZE = 64
SEGNET = {"images": "{}", "labels": "{}annot"}
LINKED = {"images": "images/{}", "labels": "labels/{}"}
FRAMES = {"train": ("0001TP_006690", "0006R0_f00930"), "val": ("0016E5_07959",)}
OTHERS = {"train": ("a", "b"), "val": ("c",)}


def write(root: Path, folders: dict[str, str], names: dict[str, tuple[str, ...]], values: list[int]) -> Path:
    """Stripes of ``values`` from left to right, and images of noise."""
    stripes = np.resize(np.repeat(np.array(values, np.uint8), -(-SIZE // len(values))), (SIZE, SIZE))
    noise = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    for split, stems in names.items():
        for stem in stems:
            for kind, pixels in (("images", noise), ("labels", stripes)):
                file = root / folders[kind].format(split) / f"{stem}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(file)
    return root


def run(*words: str) -> int:
    """The exit status of a command."""
    with pytest.raises(SystemExit) as end:
        main(words)
    return int(end.value.code or 0)


def look(root: Path, *ignore: int):
    cache = root.parent / "cache"
    return recognise(root, "segmentation", cache_dir=cache, ignore_labels=ignore)


@pytest.mark.parametrize("folders", [SEGNET, LINKED], ids=["as SegNet's authors give it", "linked"])
def test_camvid_has_11_classes_and_void(folders: dict[str, str], tmp_path: Path) -> None:
    data = look(write(tmp_path / "camvid", folders, FRAMES, list(range(12))))
    assert data.classes == CAMVID_CLASSES
    assert data.label_map == {11: 255}
    assert (data.train.count, data.val.count) == (2, 1)
    assert any("frames of CamVid" in note for note in data.notes)
    assert "Label value 11 is ignored, in training and in the figures." in data.notes


def test_values_without_a_name_are_said_loudly(tmp_path: Path) -> None:
    root = write(tmp_path / "set", SEGNET, OTHERS, list(range(12)))
    data = look(root)
    assert (data.classes[-1], data.label_map) == ("class_11", {})
    (warning,) = data.notes
    assert warning.startswith("Warning: there is no classes.txt")
    assert "--ignore-label 11" in warning
    data = look(root, 11)
    assert (data.classes[-1], data.label_map) == ("class_10", {11: 255})


def test_more_values_than_camvid_has_are_not_named_as_its(tmp_path: Path) -> None:
    assert look(write(tmp_path / "set", SEGNET, FRAMES, list(range(13)))).classes[0] == "class_0"


@pytest.mark.parametrize(
    ("names", "ignore", "classes", "label_map"),
    [
        ("void road car", [0], ("road", "car"), {0: 255, 1: 0, 2: 1}),
        ("road void car", [1], ("road", "car"), {1: 255, 2: 1}),
        ("road car", [2], ("road", "car"), {2: 255}),
        ("road car tree", [255], ("road", "car", "tree"), {}),
        ("road car tree", [9], ("road", "car", "tree"), {9: 255}),
        ("", [0], ("class_1", "class_2"), {0: 255, 1: 0, 2: 1}),
    ],
)
def test_names_go_by_label_values(names, ignore, classes, label_map, tmp_path: Path) -> None:
    root = write(tmp_path / "set", LINKED, OTHERS, [0, 1, 2, 255])
    if names:
        (root / "classes.txt").write_text(names.replace(" ", "\n"))
    data = look(root, *ignore)
    assert (data.classes, data.label_map) == (classes, label_map)
    assert len(data.palette) == len(classes)
    unused = [note for note in data.notes if "no label holds it" in note]
    assert len(unused) == (9 in ignore)


def test_the_colours_stay_with_their_names(tmp_path: Path) -> None:
    root = write(tmp_path / "set", LINKED, OTHERS, [0, 1, 2])
    palette = [[k, k, k] for k in range(3)]
    (root / "classes.json").write_text(json.dumps({"classes": ["void", "road", "car"], "palette": palette}))
    assert look(root, 0).palette == ((1, 1, 1), (2, 2, 2))


def test_a_class_that_is_called_void(tmp_path: Path) -> None:
    root = write(tmp_path / "set", LINKED, OTHERS, [0, 1, 2])
    (root / "classes.txt").write_text("road\ncar\nVoid\n")
    (note,) = look(root).notes
    assert note.startswith("Warning: 'Void' (label value 2) is trained")
    assert "--ignore-label 2" in note


@pytest.mark.parametrize(
    ("ignore", "message"),
    [
        ([], "Allowed are 0 to 1 .* and 255 for pixels to ignore. If 2 means 'ignore', add --ignore-label 2"),
        ([0, 1, 2], "--ignore-label 0 --ignore-label 1 --ignore-label 2 leaves no class of 'road', 'car'"),
        ([300], "--ignore-label 300: a label value lies between 0 and 255"),
        ([-1], "--ignore-label -1: a label value lies"),
    ],
)
def test_refusals(ignore: list[int], message: str, tmp_path: Path) -> None:
    root = write(tmp_path / "set", LINKED, OTHERS, [0, 1, 2])
    (root / "classes.txt").write_text("road\ncar\n")
    with pytest.raises(InputError, match=message):
        look(root, *ignore)
    with pytest.raises(InputError, match="is about label maps, but the task is detection"):
        recognise(root, "detection", cache_dir=tmp_path / "cache", ignore_labels=[2])


def test_more_values_than_8_bits_hold(tmp_path: Path) -> None:
    root = write(tmp_path / "set", LINKED, OTHERS, [0, 1])
    wide = np.zeros((SIZE, SIZE), np.uint16)
    wide[0, 0] = 256  # would be read as 0
    Image.fromarray(wide).save(root / "labels/train/a.png")
    with pytest.raises(InputError, match="The labels hold 256, but label maps have 8 bits"):
        look(root)


# --- what mmseg makes of it


def test_what_arrives_at_the_model(tmp_path: Path) -> None:
    from mmseg.registry import DATASETS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    root = write(tmp_path / "set", LINKED, OTHERS, [0, 1, 2, 255])
    pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
    (sample,) = DATASETS.build(dataset_cfg(look(root, 0), "val", pipeline))
    arrived = sample["data_samples"].gt_sem_seg.data[0].numpy()
    written = np.array(Image.open(root / "labels/val/c.png"))
    np.testing.assert_array_equal(arrived, np.array([255, 0, 1] + [255] * 253)[written])


def test_the_commands_ignore_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained, scored and drawn without the void; the config it leaves says so itself."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "set", SEGNET, OTHERS, [0, 1, 2, 3])
    config, small = (
        "segmentation/bisenet_resnet18-scratch_1xb8-8k_cityscapes-360x480",
        ["--img-scale", "64x64", "--device", "cpu"],
    )
    data = ["--data", "set", "--ignore-label", "3"]
    assert (
        run("train", config, *data, *small, "--batch-size", "2", "--epochs", "1", "--work-dir", "work") == 0
    )
    said = capsys.readouterr().out
    assert "Label value 3 is ignored" in said
    final = json.loads((tmp_path / "work/metrics.json").read_text())["final"]
    assert {name for name in final if name.startswith("IoU.")} == {
        "IoU.class_0",
        "IoU.class_1",
        "IoU.class_2",
    }
    assert run("test", "work/config.py", "work/last.pth", *small, "--work-dir", "again") == 0
    again = json.loads((tmp_path / "again/test_metrics.json").read_text())["metrics"]
    assert run("test", config, "work/last.pth", *data, *small, "--work-dir", "fitted") == 0
    fitted = json.loads((tmp_path / "fitted/test_metrics.json").read_text())["metrics"]
    assert again["mIoU"] == fitted["mIoU"] == final["mIoU"]
    capsys.readouterr()
    for words, message in (
        (["test", "work/config.py", "work/last.pth", "--ignore-label", "3"], "is about --data: give it too"),
        (
            ["train", config, "--data", "set", *small, "--batch-size", "2", "--cfg-options"]
            + ["model.decode_head.ignore_index=3", "model.data_preprocessor.size=(96,96)"],
            "--data DIR --ignore-label 3",
        ),
    ):
        assert run(*words) == 2
        assert message in capsys.readouterr().err
