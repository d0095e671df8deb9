"""``mmbackbones export``: the file does what the model does."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from test_compose import main_fails, main_ok

from mmbackbones import InputError
from mmbackbones.data.shapes import write_shapes
from mmbackbones.engine.compose import MODELS, compose
from mmbackbones.engine.config_text import config_text
from mmbackbones.engine.fit import Settings, fit
from mmbackbones.engine.runner import build_runner
from mmbackbones.export.export import export, measure
from mmbackbones.export.graph import ExportNet
from mmbackbones.export.session import OnnxModel, fill

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra export")

BACKBONE = "mobilenetv3_small_050"
ONE_STAGE = ["retinanet", "ssdlite", "yolov4-tiny", "efficientdet-d0"]
SEGMENTERS = ["deeplabv3plus", "upernet", "unetpp", "swiftnet", "bisenet"]
#: An export takes 10 to 20 seconds: `make test` takes one of each kind of graph, `make sweep` all.
EVERY = bool(os.environ.get("MMBACKBONES_SWEEP"))
TRIED = [*ONE_STAGE, *SEGMENTERS] if EVERY else ["retinanet", "yolov4-tiny", "swiftnet"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("export") / "shapes", train=4, val=3, size=(128, 128))


def awake(model: torch.nn.Module) -> None:
    """Statistics and weights as after some training, so that answers differ from cell to cell."""
    lot = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=lot))
                module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=lot))
        head = getattr(model, "bbox_head", torch.nn.Identity())
        for module in head.modules():  # fresh heads give all boxes nearly one score: any order would do
            if isinstance(module, torch.nn.Conv2d):
                module.weight.copy_(torch.randn(module.weight.shape, generator=lot))
                module.weight.mul_((2 / module.weight[0].numel()) ** 0.5)


def trained(model: str, shapes: Path, folder: Path) -> tuple[Config, Path]:
    """A config with the generated data, and a checkpoint of random weights."""
    cfg, _ = compose(model, BACKBONE, pretrained=False)
    options = [f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")]
    settings = Settings(shapes, epochs=1, batch_size=2, img_scale="128x128", options=options)
    fit(cfg, settings, cache_dir=folder / "cache")
    if MODELS[model].task == "detection" and "nms_pre" in cfg.model.test_cfg:  # random weights are unsure
        cfg.model.test_cfg.update(score_thr=0.0, conf_thr=-1, nms_pre=100_000, max_per_img=50)
    (folder / "config.py").write_text(config_text(cfg, []))
    cfg.work_dir = str(folder)
    runner = build_runner(cfg)
    runner.network.init_weights()
    awake(runner.network)
    classes = cfg.train_dataloader.dataset.metainfo.classes
    path = folder / "weights.pth"
    torch.save(
        {"state_dict": runner.network.state_dict(), "meta": {"dataset_meta": {"classes": classes}}}, path
    )
    return cfg, path


def batches(cfg: Config, checkpoint: Path, folder: Path) -> tuple[Any, list[Any]]:
    """The model in torch, and the validation data as its loop sees it."""
    from mmengine.runner import load_checkpoint

    cfg.work_dir = str(folder)
    runner = build_runner(cfg)
    load_checkpoint(runner.network, str(checkpoint))
    return runner.network.eval(), list(runner.build_dataloader(cfg.val_dataloader))


class Exported:
    """What the command made of a model with random weights, on the generated data."""

    def __init__(self, model: str, shapes: Path, folder: Path) -> None:
        self.segmenter = MODELS[model].task == "segmentation"
        self.cfg, self.checkpoint = trained(model, shapes, folder)
        self.files = {"onnx": folder / "out" / "model.onnx", "int8": folder / "out" / "model_int8.onnx"}
        command = ["export", str(folder / "config.py"), str(self.checkpoint), "--data", str(shapes)]
        command += ["--dynamic"] if self.segmenter else ["--int8", "--calibration-images", "3"]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            main_ok([*command, "-o", str(self.files["onnx"])])
        self.said = said.getvalue()
        self.network, self.data = batches(self.cfg, self.checkpoint, folder / "run")

    def session(self, what: str = "onnx") -> OnnxModel:
        return OnnxModel(self.files[what], self.network)


@pytest.fixture(scope="module")
def exported(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Exports a model once."""
    return cache(lambda model: Exported(model, shapes, tmp_path_factory.mktemp(model)))


@pytest.mark.parametrize("model", TRIED)
def test_the_file_answers_as_the_model(model: str, exported: Callable[[str], Exported]) -> None:
    made = exported(model)
    session = made.session()
    assert session.size == (None if made.segmenter else (128, 128))
    compared = 0
    for batch in made.data:
        samples = [sample.clone() for sample in batch["data_samples"]]
        with torch.no_grad():
            expected = made.network.test_step({**batch, "data_samples": samples})
            found = session.test_step(batch)
        for ours, theirs in zip(found, expected, strict=True):
            if made.segmenter:
                logits = theirs.seg_logits.data
                assert logits.std() > 0
                torch.testing.assert_close(ours.seg_logits.data, logits, rtol=1e-3, atol=1e-3)
                compared += 1
                continue
            a, b = ours.pred_instances, theirs.pred_instances
            assert len(a) == len(b)
            torch.testing.assert_close(a.scores, b.scores, rtol=0, atol=1e-3)
            torch.testing.assert_close(a.bboxes, b.bboxes, rtol=1e-3, atol=1e-2)
            compared += len(b)
    assert compared > 2


@pytest.mark.parametrize("model", [name for name in TRIED if MODELS[name].task == "segmentation"])
def test_a_segmenters_file_takes_any_size(model: str, exported: Callable[[str], Exported]) -> None:
    made = exported(model)
    net, session = ExportNet(made.network).eval(), made.session()
    for size in ((64, 96), (160, 224), (333, 517)):
        image = torch.rand(1, 3, *size) * 255
        with torch.no_grad():
            (expected,) = net(image)
        assert tuple(expected.shape[2:]) == size
        torch.testing.assert_close(session.run(image)[0], expected, rtol=1e-3, atol=1e-3)


def test_the_command_measures_both_forms(exported: Callable[[str], Exported]) -> None:
    made = exported("retinanet")
    big, small = (made.files[what].stat().st_size for what in ("onnx", "int8"))
    assert small < 0.5 * big
    assert any("MB" in line and "ms" in line and "bbox_mAP_50" in line for line in made.said.splitlines())
    assert f"{big / 1e6:.4g}" in made.said
    figures = measure(made.cfg, made.checkpoint, made.files, accuracy=True)
    assert set(figures) == {"torch", "onnx", "int8"}
    assert figures["int8"]["MB"] == pytest.approx(small / 1e6)
    assert figures["onnx"]["ms"] > 0
    assert figures["onnx"]["bbox_mAP_50"] == pytest.approx(figures["torch"]["bbox_mAP_50"], abs=1e-3)


def test_8_bits_stay_near(exported: Callable[[str], Exported]) -> None:
    made = exported("retinanet")
    whole, small = made.session("onnx"), made.session("int8")
    image = fill(made.data[0]["inputs"][0], whole.size, whole.pad_value)
    (exact, sure), (near, unsure) = whole.run(image), small.run(image)
    assert not torch.equal(sure, unsure)
    assert torch.corrcoef(torch.stack([exact.flatten(), near.flatten()]))[0, 1] > 0.99
    assert torch.corrcoef(torch.stack([sure.flatten(), unsure.flatten()]))[0, 1] > 0.9
    kinds = {node.op_type for node in onnx.load(str(made.files["int8"])).graph.node}
    assert "QuantizeLinear" in kinds


def test_what_cannot_be_exported_is_refused(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, checkpoint = trained("faster-rcnn", shapes, tmp_path)
    with pytest.raises(InputError, match="FasterRCNN cannot be exported.*retinanet, ssdlite"):
        export(cfg, checkpoint, tmp_path / "model.onnx")
    cfg, checkpoint = trained("retinanet", shapes, tmp_path)
    with pytest.raises(InputError, match="--dynamic is for segmenters"):
        export(cfg, checkpoint, tmp_path / "model.onnx", dynamic=True)
    (tmp_path / "no.onnx").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as an ONNX file"):
        OnnxModel(tmp_path / "no.onnx", None)
    with pytest.raises(InputError, match="image of 200x100 pixels .* file's 128x128"):
        fill(torch.zeros(3, 100, 200), (128, 128), [0.0] * 3)
    config = str(tmp_path / "config.py")
    for words, said in (
        (["--int8"], "--int8 needs --data"),
        (["--format", "tflite"], "--format tflite is not known. Allowed: onnx"),
        (["-o", "model.txt"], "model.onnx"),
    ):
        assert main_fails(["export", config, str(checkpoint), *words]) == 2
        assert said in capsys.readouterr().err
