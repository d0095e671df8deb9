"""``mmbackbones predict`` on files as they come: broken, huge, deep, of several frames; and its pictures."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmbackbones.cli import main
from mmbackbones.compose.configs import load_config
from mmbackbones.engine.images import open_image

CONFIG = "segmentation/bisenet_resnet18-scratch_1xb8-8k_cityscapes-360x480"
CLASSES = ["background", "a class with a very long name", "b", "c", "d", "e", "f"]
RED = (255, 0, 0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that nobody trained, and the classes."""
    from mmengine.registry import MODELS, init_default_scope

    from mmbackbones.compose.classes import set_num_classes

    cfg = load_config(CONFIG)
    init_default_scope("mmseg")
    set_num_classes(cfg.model, len(CLASSES))
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    palette = [RED] * len(CLASSES)
    state = MODELS.build(cfg.model).state_dict()
    state["decode_head.conv_seg.bias"][1] = 100.0  # the class with the long name, everywhere
    cfg.dump(path.with_name("config.py"))
    torch.save({"state_dict": state, "meta": {"dataset_meta": dict(classes=CLASSES, palette=palette)}}, path)
    return path


def predict(weights: Path, out: Path, *images: Path) -> tuple[int, list[dict[str, Any]]]:
    """Exit status, and the entries of the JSON."""
    words = [*map(str, images), "--out", str(out), "--img-scale", "64x64", "--device", "cpu"]
    with pytest.raises(SystemExit) as end:
        main(["predict", str(weights.with_name("config.py")), str(weights), *words])
    return int(end.value.code or 0), json.loads((out / "predictions.json").read_text())["images"]


def huge(path: Path, width: int = 20000, height: int = 10000) -> Path:
    """The smallest file that says it has 200 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    return path


def picture(path: Path) -> Path:
    Image.new("RGB", (64, 48), (10, 200, 30)).save(path)
    return path


def test_what_cannot_be_read_is_left_out_and_said(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    (folder / "again").symlink_to(folder, target_is_directory=True)  # no end, if followed
    for name in ("a.png", "z ünïcode 照片.png", "deeper/a.png"):
        picture(folder / name)
    (folder / "b.jpg").write_bytes(b"")
    (folder / "c.png").write_text("no picture")
    Image.fromarray(np.random.default_rng(0).random((48, 64), np.float32)).save(folder / "d.tif")
    huge(folder / "e.png")
    code, entries = predict(weights, tmp_path / "out", folder)
    shown = capsys.readouterr()
    assert code == 2
    assert "Traceback" not in shown.err + shown.out
    assert "4 of 7 images were left out" in shown.err
    found = {Path(entry["image"]).relative_to(folder).as_posix(): entry for entry in entries}
    reasons = {"b.jpg": "empty (0 bytes)", "c.png": "not an image", "d.tif": "32 bits a channel"}
    reasons["e.png"] = "more than 178 megapixels"
    assert {name for name, entry in found.items() if "error" in entry} == set(reasons)
    for name, reason in reasons.items():
        assert reason in found[name]["error"]
        assert f"{folder / name}: left out. " in shown.out
    whole = [entry for entry in entries if "error" not in entry]
    assert len(whole) == 3
    assert all((tmp_path / "out" / entry[key]).is_file() for entry in whole for key in ("picture", "labels"))


def test_ctrl_c_leaves_the_json(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmbackbones.engine.predictions import Predictor

    ask = Predictor.__call__

    def interrupted(self: Predictor, path: Path) -> Any:
        if path.name == "b.png":
            raise KeyboardInterrupt
        return ask(self, path)

    monkeypatch.setattr(Predictor, "__call__", interrupted)
    images = [picture(tmp_path / name) for name in ("a.png", "b.png")]
    code, entries = predict(weights, tmp_path / "out", *images)
    assert code == 130
    assert [entry["image"] for entry in entries] == [str(images[0])]


def test_what_is_lost_in_loading_is_said(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("RGB", (64, 48), (60 * k, 0, 0)) for k in range(3)]
    frames[0].save(tmp_path / "frames.tif", save_all=True, append_images=frames[1:])
    Image.new("RGBA", (64, 48), (1, 2, 3, 4)).save(tmp_path / "alpha.png")
    deep = np.full((48, 64), 4095, np.uint16)
    cv2.imwrite(str(tmp_path / "12bit.png"), deep)
    cv2.imwrite(str(tmp_path / "12bit colour.png"), np.stack([deep] * 3, -1))
    cv2.imwrite(str(tmp_path / "16bit.png"), deep * 16)
    picture(tmp_path / "plain.png")
    Image.new("CMYK", (64, 48), (10, 200, 30, 40)).save(tmp_path / "print.jpg")
    expected = {
        "frames.tif": "3 frames: loading keeps the first",
        "alpha.png": "an alpha channel (RGBA): loading drops it",
        "12bit.png": "16 bits a channel but no value above 4095",
        "12bit colour.png": "16 bits a channel but no value above 4095",
        "16bit.png": "16 bits a channel: loading keeps the upper 8",
        "plain.png": None,
        "print.jpg": None,
    }
    code, entries = predict(weights, tmp_path / "out", *(tmp_path / name for name in expected))
    shown = capsys.readouterr().out
    assert code == 0
    for entry, (name, note) in zip(entries, expected.items(), strict=True):
        assert Path(entry["image"]).name == name
        assert (note in entry["note"]) if note else "note" not in entry
        assert (f"(it has {note}" in shown) if note else True
        loaded = cv2.imread(entry["image"], cv2.IMREAD_COLOR)
        drawn = np.asarray(open_image(Path(entry["image"])))[..., ::-1]
        # OpenCV and Pillow make colours of inks by two formulas
        np.testing.assert_allclose(drawn, loaded, atol=2 if name == "print.jpg" else 1)


def test_the_legend_names_the_classes_found(weights: Path, tmp_path: Path) -> None:
    _, (entry,) = predict(weights, tmp_path / "out", picture(tmp_path / "a.png"))
    assert list(entry["pixels"]) == [CLASSES[1]]
    with Image.open(tmp_path / "out" / entry["picture"]) as file:
        pixels = np.asarray(file.convert("RGB"))
    assert pixels.shape == (360 + 28, 480, 3)
    image, legend = pixels[:360], pixels[360:]
    tinted = np.round(0.35 * np.array([10, 200, 30]) + 0.65 * np.array(RED))
    np.testing.assert_allclose(image[180, 240], tinted, atol=1)
    assert (legend == RED).all(-1).sum() > 150  # its colour
    assert (legend.max(-1) < 60).sum() > 300  # its name
