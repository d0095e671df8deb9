"""Images of other numbers of channels, from NumPy's files and TIFFs to a trained model and its export."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cli_trainings import main_exits
from mmcv.transforms import Compose
from mmengine.config import Config
from PIL import Image

import mmbackbones
from mmbackbones import InputError
from mmbackbones.compose.channels import channels_read, set_channels
from mmbackbones.compose.configs import kind, load_config, pipelines
from mmbackbones.data.layouts import recognise
from mmbackbones.data.shapes import write_shapes
from mmbackbones.data.stacks import read_stack, stack_shape, statistics
from mmbackbones.engine.images import as_loaded, check_image, open_image
from mmbackbones.export.folder import STACK, program

DETECTOR = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"


def pages(stack: np.ndarray, path: Path) -> Path:
    first, *rest = (Image.fromarray(stack[..., k]) for k in range(stack.shape[2]))
    first.save(path, save_all=True, append_images=rest, compression="tiff_lzw")
    return path


def samples(stack: np.ndarray, path: Path, planar: bool) -> Path:
    tifffile = pytest.importorskip("tifffile", reason="comes with the extra tiff")
    config = {"planarconfig": "separate" if planar else "contig"}
    tifffile.imwrite(path, np.moveaxis(stack, -1, 0) if planar else stack, photometric="minisblack", **config)
    return path


def arrays(stack: np.ndarray, path: Path) -> Path:
    np.save(path.with_suffix(".npy"), stack)
    return path.with_suffix(".npy")


WAYS = {
    "npy": arrays,
    "pages": pages,
    "contig": lambda stack, path: samples(stack, path, False),
    "planar": lambda stack, path: samples(stack, path, True),
}


@pytest.mark.parametrize("channels", [2, 4, 12])
@pytest.mark.parametrize("way", WAYS)
def test_values_come_as_they_are_stored(way: str, channels: int, tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 4096, (20, 30, channels)).astype(np.uint16)
    path = WAYS[way](stack, tmp_path / "a.tif")
    assert stack_shape(path) == stack.shape
    np.testing.assert_array_equal(read_stack(path), stack)
    assert check_image(path, stacks=True) == ""
    assert open_image(path).size == (30, 20)
    mean, std = statistics([path, path])
    np.testing.assert_allclose(mean, stack.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(std, stack.std((0, 1)), rtol=1e-5)


def test_photos_stay_photos(tmp_path: Path) -> None:
    for mode in ("RGB", "L", "RGBA", "CMYK"):
        Image.new(mode, (30, 20)).save(tmp_path / f"{mode}.tif")
        assert stack_shape(tmp_path / f"{mode}.tif") is None
    thumbnail = Image.new("L", (8, 8))
    Image.new("L", (30, 20)).save(tmp_path / "two.tif", save_all=True, append_images=[thumbnail])
    assert stack_shape(tmp_path / "two.tif") is None  # pages of two sizes: an image and a small copy


@pytest.mark.parametrize(
    ("stack", "says"),
    [
        (np.zeros((12, 48, 64), np.uint8), r"channels first; save \(height, width, channels\)"),
        (np.zeros((2, 48, 64, 3), np.uint8), "shape is 2x48x64x3"),
        (np.zeros((48, 64, 2), complex), "holds complex128"),
        (np.array([{}], object), "objects"),
        (np.full((48, 64, 2), np.nan), "not finite"),
    ],
)
def test_files_that_are_no_image_are_refused(stack: np.ndarray, says: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", stack)
    with pytest.raises(ValueError, match=says):
        read_stack(tmp_path / "a.npy")


def test_a_file_that_is_cut_off_is_said_to_be(tmp_path: Path) -> None:
    path = arrays(np.ones((20, 30, 5), np.float32), tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut off"):
        stack_shape(path)
    with pytest.raises(InputError, match=r"a\.npy cannot be read: the file is cut off"):
        check_image(path, stacks=True)


def seen(colours: np.ndarray, channels: int) -> np.ndarray:
    """Colours as an instrument of more channels would see them, 12 bits."""
    return np.stack([colours[..., k % 3] * (16.0 - k) for k in range(channels)], -1).astype(np.uint16)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated data set with five channels."""
    root = write_shapes(tmp_path_factory.mktemp("channels") / "data", train=4, val=2, size=(64, 64))
    for photo in sorted((root / "images").rglob("*.jpg")):
        arrays(seen(np.asarray(Image.open(photo)), 5), photo)
        photo.unlink()
    for split in ("train", "val"):
        file = root / f"{split}.json"
        file.write_text(file.read_text().replace(".jpg", ".npy"))
    return root


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_the_data_say_how_many_channels_there_are(task: str, data: Path, tmp_path: Path) -> None:
    found = recognise(data, task, cache_dir=tmp_path)
    assert found.channels == 5
    cfg = load_config(
        {"detection": "mmdet::ssd/ssd300_coco"}.get(task, "mmseg::fcn/fcn_r50-d8_4xb4-20k_voc12aug-512x512")
    )
    cfg.model.backbone = dict(type="mmbackbones.resnet18")
    (note,) = set_channels(cfg, found, trains=True)
    assert "in_channels=5" in note
    assert "PhotoMetricDistortion" in note
    assert cfg.model.backbone.in_channels == channels_read(cfg) == 5
    assert len(cfg.model.data_preprocessor.mean) == len(cfg.model.data_preprocessor.std) == 5
    for steps in pipelines(cfg, "train", "val", "test"):
        kinds = [kind(step) for step in steps]
        assert "PhotoMetricDistortion" not in kinds
        assert "LoadImageFromFile" not in kinds
        assert all(len(step["mean"]) == 5 for step in steps if kind(step) == "Expand")
    assert set_channels(cfg, found, trains=False) == []


def config(**backbone: object) -> Config:
    steps = [dict(type="LoadImageFromFile"), dict(type="Mosaic")] if not backbone else []
    model = dict(backbone=backbone or dict(type="mmbackbones.resnet18"))
    return Config(dict(model=model, train_dataloader=dict(dataset=dict(pipeline=steps))))


@pytest.mark.parametrize(
    ("cfg", "trains", "says"),
    [
        (config(), True, "pipeline's Mosaic is for photos"),
        (config(), False, "5 channels .* but the model is for photos"),
        (config(type="mmbackbones.resnet18", in_channels=4), True, "5 channels, but .* in_channels=4"),
        (config(type="mmdet.MobileNetV2"), True, "a MobileNetV2 takes 3 alone.*swap"),
    ],
)
def test_configs_for_other_images_are_refused(
    cfg: Config, trains: bool, says: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        set_channels(cfg, recognise(data, "detection", cache_dir=tmp_path), trains=trains)


def test_channels_may_not_be_mixed(tmp_path: Path) -> None:
    root = write_shapes(tmp_path / "data", train=2, val=1, size=(64, 64))
    photo = next((root / "images" / "train").iterdir())
    arrays(np.zeros((64, 64, 4), np.uint8), photo)
    photo.unlink()
    with pytest.raises(InputError, match=r"same channels, but '.*jpg' is a photo, '.*npy' has 4 channels"):
        recognise(root, "segmentation", cache_dir=tmp_path / "cache")


def test_from_data_to_a_trained_model(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_exits("data", data)
    assert "images of 5 channels" in capsys.readouterr().out
    work, out = tmp_path / "work", tmp_path / "out"
    words = ["--img-scale", "64x64", "--batch-size", "2", "--device", "cpu", "--epochs", "1"]
    words += ["--class-balance", "--ema"]
    words += ["--cfg-options", "model.test_cfg.rcnn.score_thr=0.0", "model.rpn_head.num_convs=1"]
    main_exits("train", DETECTOR, "--data", data, "--work-dir", work, *words)
    assert "in_channels=5" in capsys.readouterr().out
    image = next((data / "images" / "val").iterdir())
    model = mmbackbones.load(work, device="cpu", score_thr=0.0)
    of_file, of_array = model(image), model(np.load(image))
    assert len(of_file.boxes) > 0
    np.testing.assert_allclose(of_array.scores, of_file.scores, atol=1e-5)
    assert of_file.plot().shape == of_array.plot().shape == (64, 64, 3)
    main_exits("predict", work / "config.py", work / "last.pth", image, "--out", out, "--device", "cpu")
    assert (
        json.loads((out / "predictions.json").read_text())["images"][0]["picture"]
        == f"{image.stem}_prediction.png"
    )
    for bad, says in (
        (arrays(np.zeros((64, 64, 3), np.uint8), tmp_path / "three"), "3 channels, but the model takes 5"),
        (np.zeros((64, 64, 3), np.uint8), r"give \(height, width, 5\)"),
        (out / f"{image.stem}_prediction.png", "is a photo"),
    ):
        with pytest.raises(InputError, match=says):
            model(bad)


def test_another_backbone_takes_as_many_channels(data: Path, tmp_path: Path) -> None:
    words = ["--backbone", "resnet18", "--no-pretrained", "--data", data, "--out", tmp_path / "swapped.py"]
    main_exits("swap", "detection/retinanet_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160", *words)
    cfg = Config.fromfile(tmp_path / "swapped.py")
    assert cfg.model.backbone.type == "mmbackbones.resnet18"
    assert cfg.model.backbone.in_channels == channels_read(cfg) == 5
    assert len(cfg.model.data_preprocessor.mean) == 5


def test_a_stack_of_three_is_not_turned() -> None:
    stack = np.random.default_rng(0).random((8, 8, 3))
    np.testing.assert_array_equal(as_loaded(stack, 3, stacks=True), stack.astype(np.float32))


@pytest.mark.parametrize("way", ["npy", "pages"])
def test_the_program_reads_what_the_pipeline_reads(way: str, tmp_path: Path) -> None:
    """And shrinks and fills it up as it does; such a file of more samples needs more than Pillow."""
    rule = {"width": 48, "height": 32, "keep_ratio": False, "as": "opencv"}
    facts = {"task": "segmentation", "resize": rule, "outputs": {}}
    facts["input"] = {
        "channels": STACK,
        "height": None,
        "width": None,
        "multiple_of": 32,
        "padding": [1.0, 2, 3, 4, 5],
    }
    (tmp_path / "run.py").write_text(program(facts))
    parts = SimpleNamespace(**runpy.run_path(str(tmp_path / "run.py")))
    path = WAYS[way](seen(np.random.default_rng(0).integers(0, 255, (60, 90, 3)), 5), tmp_path / "a.tif")
    ours = parts.pad(parts.shrink(parts.read_stack(path, 5), rule), facts["input"])
    assert ours.shape == (1, 5, 32, 64)
    np.testing.assert_array_equal(ours[0, :, 0, -1], [1, 2, 3, 4, 5])
    steps = Compose([dict(type="mmbackbones.LoadChannels", channels=5), dict(type="Resize", scale=(48, 32))])
    theirs = torch.from_numpy(steps({"img_path": str(path)})["img"]).permute(2, 0, 1)
    np.testing.assert_allclose(ours[0, :, :, :48], theirs, atol=0.5)  # of 4080
    with pytest.raises(ValueError, match="has 5 channels, the model takes 4"):
        parts.read_stack(path, 4)


def photos(folder: Path) -> list[Path]:
    """One picture in the ways in which photos are stored without loss."""
    colours = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    photo, alpha = Image.fromarray(colours), Image.fromarray(colours[..., 0])
    turned, exif = photo.rotate(90, expand=True), Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "turned.png", exif=exif)
    grey16 = Image.fromarray(colours[..., 0].astype(np.uint16) * 256 + 7)
    for name in ("grey16.png", "grey16.tif"):
        grey16.save(folder / name)
    photo.quantize(16).save(folder / "palette.png")
    photo.convert("CMYK").save(folder / "cmyk.tif")
    for mode in ("L", "1", "LA", "RGBA"):
        one = photo.convert(mode)
        if mode.endswith("A"):
            one.putalpha(alpha)
        for suffix in ("png", "tif"):
            one.save(folder / f"{mode}.{suffix}")
    return sorted(folder.iterdir())


def test_training_pictures_and_the_program_see_one_photo_alike(tmp_path: Path) -> None:
    rule = {"width": 30, "height": 20, "keep_ratio": False, "as": "opencv"}
    facts = {"task": "segmentation", "resize": rule, "outputs": {}, "input": {"channels": "BGR"}}
    (tmp_path / "run.py").write_text(program(facts))
    read = runpy.run_path(str(tmp_path / "run.py"))["read_photo"]
    (tmp_path / "photos").mkdir()
    load = Compose([dict(type="LoadImageFromFile")])
    for path in photos(tmp_path / "photos"):
        trained = load({"img_path": str(path)})["img"][..., ::-1]
        np.testing.assert_array_equal(read(path), trained, err_msg=path.name)
        np.testing.assert_array_equal(np.asarray(open_image(path)), trained, err_msg=path.name)
    assert "loading drops it" in check_image(tmp_path / "photos" / "RGBA.png")
    assert "multiplies colours by it" in check_image(tmp_path / "photos" / "RGBA.tif")
