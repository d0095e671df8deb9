"""``mmbackbones.load``: a trained model as an object, called on files and arrays; and what predict writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from cli_trainings import Trained, main_exits
from mmengine.config import Config
from PIL import Image

import mmbackbones
from mmbackbones import InputError
from mmbackbones.data.shapes import CLASSES
from mmbackbones.engine.coco_results import CocoResults
from mmbackbones.engine.images import as_loaded
from mmbackbones.engine.predict import Output, check_outputs, predict
from mmbackbones.engine.predictions import Prediction, Predictor


@pytest.fixture(scope="module")
def boxes(detector: Trained) -> Predictor:
    return mmbackbones.load(detector.work, device="cpu", score_thr=0.0)


@pytest.fixture(scope="module")
def labels(segmenter: Trained) -> Predictor:
    return mmbackbones.load(segmenter.work / "last.pth", device="cpu")


@pytest.fixture(scope="module")
def photos(detector: Trained) -> list[Path]:
    return sorted((detector.data / "images").rglob("*.*"))[:3]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_boxes_of_files_and_of_their_pixels(boxes: Predictor, photos: list[Path]) -> None:
    of_files = boxes(photos)
    for one, path, array in zip(of_files, photos, boxes([pixels(path) for path in photos]), strict=True):
        assert len(one.boxes) == len(one.labels) == len(one.scores) > 0
        assert one.names == [CLASSES[label] for label in one.labels]
        # batches and single images differ in the last bits
        np.testing.assert_allclose(one.scores, boxes(str(path)).scores, atol=1e-4)
        np.testing.assert_allclose(one.scores, array.scores, atol=1e-4)  # PNGs: no pixel is lost
        np.testing.assert_allclose(one.boxes, array.boxes, atol=0.05)
    drawn = of_files[0].plot()
    assert drawn.shape == pixels(photos[0]).shape
    assert (drawn != pixels(photos[0])).any()


def test_label_maps_beside_a_detector(boxes: Predictor, labels: Predictor, photos: list[Path]) -> None:
    before = boxes(photos[0])
    found = labels([photos[0], np.full((48, 96, 3), 90, np.uint8)])  # of two sizes
    assert [one.label_map.shape for one in found] == [(64, 64), (48, 96)]
    assert found[0].names == [labels.classes[value] for value in np.unique(found[0].label_map)]
    assert labels(pixels(photos[0])[..., :1][..., 0]).label_map.shape == (64, 64)  # grey
    np.testing.assert_array_equal(boxes(photos[0]).scores, before.scores)


def test_the_order_is_rgb(labels: Predictor) -> None:
    red = np.zeros((2, 2, 4), np.uint8)
    red[..., 0] = 255
    np.testing.assert_array_equal(as_loaded(red)[0, 0], [0, 0, 255])  # as OpenCV reads it, without alpha
    eight = np.zeros((2, 2, 8), np.float32)
    assert as_loaded(eight, 8) is eight


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((8, 8, 3), np.float32), "float32 cannot be used: give 8 bits"),
        (np.zeros((3, 8, 8), np.uint8), r"shape 3x8x8 .*\(height, width, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), "shape 0x8x3"),
        (Path("missing.png"), "no image file missing.png"),
    ],
)
def test_what_is_no_image_is_refused(labels: Predictor, image: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        labels(image)


def test_folders_that_hold_no_model_are_refused(detector: Trained, tmp_path: Path) -> None:
    for path, says in (
        (tmp_path, "no best.pth or last.pth in"),
        (tmp_path / "x.pth", "no folder and no che"),
    ):
        with pytest.raises(InputError, match=says):
            mmbackbones.load(path)
    shutil.copy(detector.work / "last.pth", tmp_path / "alone.pth")
    with pytest.raises(InputError, match="no config.py beside .*alone.pth: give config="):
        mmbackbones.load(tmp_path / "alone.pth")
    with pytest.raises(InputError, match="device 'gpu' is no device"):
        mmbackbones.load(detector.work, device="gpu")
    config = detector.work / "config.py"
    assert mmbackbones.load(tmp_path / "alone.pth", config, device="cpu").classes == list(CLASSES)


def test_a_training_that_has_not_ended(detector: Trained, tmp_path: Path) -> None:
    shutil.copy(detector.work / "config.py", tmp_path)
    shutil.copy(detector.work / "last.pth", tmp_path / "interrupted.pth")
    (tmp_path / "last_checkpoint").write_text("elsewhere/interrupted.pth")
    assert mmbackbones.load(tmp_path, device="cpu").classes == list(CLASSES)
    (tmp_path / "best_coco_bbox_mAP_epoch_1.pth").write_text("no weights")
    with pytest.raises(InputError, match="best_coco_bbox_mAP_epoch_1.pth"):  # it goes first
        mmbackbones.load(tmp_path, device="cpu")


def test_a_prediction_is_shown_in_words() -> None:
    boxes, names = np.zeros((3, 4)), ("cat", "dog")
    found = Prediction(boxes, np.array([1, 0, 1]), masks=np.zeros((3, 9, 9), bool), classes=names)
    assert repr(found) == "Prediction(3 boxes with masks: 2 dog, 1 cat)"
    assert repr(Prediction()) == "Prediction(0 boxes)"
    one = Prediction(boxes[:1], np.array([0]), classes=names)
    assert f"{one}" == "Prediction(1 box: 1 cat)"
    assert repr(Prediction(label_map=np.eye(2, 3, dtype=int), classes=names)).endswith("map 2x3: cat, dog)")


def test_results_of_coco_have_the_ids_of_the_test_data(detector: Trained, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    known = sorted((detector.data / "images" / "val").glob("*"))[0]
    other = shutil.copy(known, tmp_path / "other.png")
    words = ["predict", detector.work / "config.py", detector.work / "last.pth", known, other]
    main_exits(*words, "--out", tmp_path, "--score-thr", "0.0", "--device", "cpu", "--save-json")
    truth = COCO(str(next(detector.data.rglob("*val*.json"))))
    rows = json.loads((tmp_path / "coco_results.json").read_text())
    named = {row["file_name"]: row["image_id"] for row in rows}
    assert truth.imgs[named[known.name]]["file_name"].endswith(known.name)
    assert named["other.png"] not in truth.imgs
    mine = [row for row in rows if row["file_name"] == known.name]
    entry = json.loads((tmp_path / "predictions.json").read_text())["images"][0]
    assert [truth.cats[row["category_id"]]["name"] for row in mine] == entry["classes"]
    x0, y0, x1, y1 = entry["boxes"][0]
    assert mine[0]["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=0.02)
    assert len(truth.loadRes(mine).anns) == len(mine)


def test_the_images_of_a_split(detector: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, checkpoint = detector.work / "config.py", detector.work / "last.pth"
    main_exits("predict", config, checkpoint, "--split", "val", "--out", tmp_path / "a", "--device", "cpu")
    images = json.loads((tmp_path / "a" / "predictions.json").read_text())["images"]
    assert {Path(one["image"]).parent.name for one in images} == {"val"}
    assert len(images) == 4
    words = ["--data", detector.data, "--device", "cpu", "--split"]
    for command, folder in (("test", "--work-dir"), ("predict", "--out")):
        main_exits(command, config, checkpoint, *words, "test", folder, tmp_path / "b", code=2)
        assert "has no test split" in capsys.readouterr().err


def test_a_video_becomes_a_video(
    detector: Trained,
    segmenter: Trained,
    photos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    for path in photos:
        file.write(cv2.imread(str(path)))
    file.release()
    (tmp_path / "no.mp4").write_bytes(b"no")
    words = [
        tmp_path / "in.avi",
        tmp_path / "no.mp4",
        "--out",
        tmp_path,
        "--device",
        "cpu",
        "--score-thr",
        "0.0",
    ]
    for work in (detector.work, segmenter.work):
        masks = ["--save-masks"] if work == segmenter.work else []
        main_exits("predict", work / "config.py", work / "last.pth", *words, *masks, code=2)
        assert "no.mp4 cannot be read" in capsys.readouterr().err
        video, broken = json.loads((tmp_path / "predictions.json").read_text())["images"]
        assert "error" in broken
        assert len(video["frames"]) == 3
        drawn = cv2.VideoCapture(str(tmp_path / video["picture"]))
        assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 3
        assert drawn.get(cv2.CAP_PROP_FPS) == 10
        for frame in video["frames"]:
            assert (
                len(frame["boxes"]) > 0 if work == detector.work else (tmp_path / frame["labels"]).is_file()
            )


def test_what_a_model_does_not_give_is_refused(
    detector: Trained,
    segmenter: Trained,
    photos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for work, option, says in (
        (detector.work, "--save-masks", "FasterRCNN finds boxes only"),
        (segmenter.work, "--save-json", "label maps are PNGs"),
    ):
        words = [
            work / "config.py",
            work / "last.pth",
            photos[0],
            "--out",
            tmp_path,
            "--device",
            "cpu",
            option,
        ]
        main_exits("predict", *words, code=2)
        assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


class Masks:
    """Finds two objects in every image, one partly under the other."""

    task, classes, palette, channels = "detection", ["cat", "dog"], [(255, 0, 0), (0, 255, 0)], 3
    stacks = False

    def __call__(self, image: object) -> Prediction:
        masks = np.zeros((2, 48, 64), bool)
        masks[0, :30], masks[1, 20:] = True, True
        boxes = np.array([[0, 0, 64, 30], [0, 20, 64, 48]], np.float32)
        scores = np.array([0.9, 0.8])
        return Prediction(boxes, np.array([1, 0]), scores, masks, classes=self.classes)


def test_instance_masks_are_numbered_and_coded(tmp_path: Path) -> None:
    from pycocotools.mask import decode

    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    check_outputs(Masks(), save_json=True, save_masks=True)
    results = CocoResults(Config({}), ["cat", "dog"])
    (entry,) = predict(Masks(), [tmp_path / "a.png"], Output(tmp_path, results, masks=True))
    numbers = np.asarray(Image.open(tmp_path / entry["masks"]))
    assert numbers[25, 5] == 1  # the surer one is on top
    assert numbers[40, 5] == 2
    rows = json.loads((tmp_path / "coco_results.json").read_text())
    assert [row["category_id"] for row in rows] == [2, 1]
    np.testing.assert_array_equal(decode(rows[1]["segmentation"]), Masks()(None).masks[1])
