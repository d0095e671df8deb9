"""``mmbackbones export``: the file does what the model does."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pytest
import torch
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.registry import MODELS as REGISTRY
from mmengine.registry import init_default_scope
from test_compose import main_fails, main_ok

from mmbackbones import InputError
from mmbackbones.compose.config_text import config_text
from mmbackbones.compose.filling import compose
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.compose.models import MODELS
from mmbackbones.engine.runner import build_runner
from mmbackbones.export import onnx_file
from mmbackbones.export.export import export, measure
from mmbackbones.export.graph import ExportNet
from mmbackbones.export.session import OnnxModel, choose, fill, seconds

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra export")

BACKBONE = "mobilenetv3_small_050"
ONE_STAGE = ["retinanet", "ssdlite", "yolov4-tiny", "efficientdet-d0"]
SEGMENTERS = ["deeplabv3plus", "upernet", "unetpp", "swiftnet", "bisenet"]
#: Model, and whether images may have any size. An export takes 10 to 20 seconds, of a segmenter for any size
#: more (of the real-time ones see test_heads_segmentation_export.py): `make test` takes one of each kind of
#: graph, `make sweep` all.
FEW = [("retinanet", False), ("yolov4-tiny", True), ("swiftnet", False)]
EVERY = [(model, dynamic) for model in ONE_STAGE for dynamic in (False, True)]
EVERY += [(model, True) for model in SEGMENTERS]
TRIED = EVERY if os.environ.get("MMBACKBONES_SWEEP") else FEW


#: For the fixture ``shapes``.
SHAPES = dict(train=4, val=3, size=(128, 128))


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

    def __init__(self, model: str, dynamic: bool, shapes: Path, folder: Path) -> None:
        self.segmenter = MODELS[model].task == "segmentation"
        self.cfg, self.checkpoint = trained(model, shapes, folder)
        self.files = {"onnx": folder / "out" / "model.onnx", "int8": folder / "out" / "model_int8.onnx"}
        command = ["export", str(folder / "config.py"), str(self.checkpoint), "--data", str(shapes)]
        if dynamic:
            command += ["--dynamic"]
        elif model in ONE_STAGE:
            command += ["--int8", "--calibration-images", "3"]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            main_ok([*command, "-o", str(self.files["onnx"])])
        self.said = said.getvalue()
        self.network, self.data = batches(self.cfg, self.checkpoint, folder / "run")

    def session(self, what: str = "onnx") -> OnnxModel:
        return OnnxModel(self.files[what], self.network)


Export = Callable[[str, bool], Exported]


@pytest.fixture(scope="module")
def exported(shapes: Path, tmp_path_factory: pytest.TempPathFactory, exporter: None) -> Export:
    """Exports a model once."""
    return cache(lambda model, dynamic: Exported(model, dynamic, shapes, tmp_path_factory.mktemp(model)))


@pytest.mark.parametrize(("model", "dynamic"), TRIED)
def test_the_file_answers_as_the_model(model: str, dynamic: bool, exported: Export) -> None:
    made = exported(model, dynamic)
    session = made.session()
    assert session.size == (None if dynamic else (128, 128))
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


@pytest.mark.parametrize(("model", "dynamic"), [case for case in TRIED if case[0] in ONE_STAGE])
def test_all_boxes_and_scores_are_torchs_on_real_images(
    model: str, dynamic: bool, exported: Export, shared: Path
) -> None:
    made = exported(model, dynamic)
    net, session = ExportNet(made.network).eval(), made.session()
    files = sorted((shared / "data/bccd/images").iterdir())[:2]
    for file, size in zip(files, ((128, 96), (96, 120)), strict=True):
        photo = torch.from_numpy(cv2.resize(cv2.imread(str(file)), size)).permute(2, 0, 1)
        image = fill(photo, session.size, session.pad_value, session.multiple)
        with torch.no_grad():
            boxes, scores = net(image)
        found, sure = session.run(image)
        assert found.shape == boxes.shape
        # Random heads give small scores: their logarithms, which is nearly what the heads gave, count too.
        assert scores.log().std() > 0.1
        torch.testing.assert_close(sure, scores, rtol=0, atol=1e-3)
        torch.testing.assert_close(sure.log(), scores.log(), rtol=0, atol=1e-3)
        torch.testing.assert_close(found, boxes, rtol=0, atol=1e-3)
        meta = {"img_shape": image.shape[2:], "ori_shape": image.shape[2:], "scale_factor": (1.0, 1.0)}
        a, b = (
            choose(made.network.bbox_head, *pair, meta)
            for pair in ((found[0], sure[0]), (boxes[0], scores[0]))
        )
        assert len(a) == len(b) > 2
        torch.testing.assert_close(a.scores, b.scores, rtol=0, atol=1e-3)


@pytest.mark.parametrize("model", [model for model, dynamic in TRIED if dynamic and model in SEGMENTERS])
def test_a_segmenters_file_takes_any_size(model: str, exported: Export) -> None:
    made = exported(model, True)
    net, session = ExportNet(made.network).eval(), made.session()
    for size in ((64, 96), (160, 224), (333, 517)):
        image = torch.rand(1, 3, *size) * 255
        with torch.no_grad():
            (expected,) = net(image)
        assert tuple(expected.shape[2:]) == size
        torch.testing.assert_close(session.run(image)[0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model", ONE_STAGE)
def test_boxes_are_chosen_for_every_kind_of_head(model: str) -> None:
    cfg, _ = compose(model, BACKBONE, pretrained=False)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        head = REGISTRY.build(cfg.model).bbox_head
    corner = 200 * torch.rand(60, 2)
    boxes = torch.cat([corner, corner + 20 + 40 * torch.rand(60, 2)], 1)
    scores = torch.full((60, 80), -1.0)
    scores[:40, 7] = torch.linspace(0.9, 0.2, 40)
    boxes[1] = boxes[0] + 1  # is nearly the first, so it goes, or with soft suppression falls back
    meta = {"img_shape": (256, 256), "ori_shape": (512, 512), "scale_factor": (0.5, 0.5)}
    found = choose(head, boxes, scores, meta)
    assert 10 < len(found) <= 40
    assert set(found.labels.tolist()) == {7}
    assert float(found.scores[0]) == pytest.approx(0.9)
    torch.testing.assert_close(found.bboxes[0], 2 * boxes[0])
    assert float(found.scores[1]) < float(scores[1, 7]) - 1e-4


def test_the_command_measures_both_forms(exported: Export) -> None:
    made = exported("retinanet", False)
    big, small = (made.files[what].stat().st_size for what in ("onnx", "int8"))
    assert small < 0.5 * big
    assert any("MB" in line and "ms" in line and "bbox_mAP_50" in line for line in made.said.splitlines())
    assert f"{big / 1e6:.4g}" in made.said
    assert "index" not in made.said  # pycocotools tells what it reads
    DetLocalVisualizer._instance_dict.clear()  # as in a new process: what tests made would serve them all
    figures = measure(made.cfg, made.checkpoint, made.files, accuracy=True)
    assert set(figures) == {"torch", "onnx", "int8"}
    assert figures["int8"]["MB"] == pytest.approx(small / 1e6)
    assert figures["onnx"]["ms"] > 0
    assert figures["onnx"]["bbox_mAP_50"] == pytest.approx(figures["torch"]["bbox_mAP_50"], abs=1e-3)


def test_files_are_timed_in_turn() -> None:
    ran: list[str] = []

    class Model:
        def __init__(self, name: str, pause: float) -> None:
            self.name, self.pause = name, pause

        def run(self, image: torch.Tensor) -> None:
            ran.append(self.name)
            time.sleep(self.pause)

    found = seconds({"a": Model("a", 0.004), "b": Model("b", 0)}, torch.zeros(1), runs=3)
    assert ran == ["b", "a", "a", "b"] * 3
    assert found["a"] > 0.004
    assert found["b"] < found["a"]


def test_8_bits_stay_near(exported: Export) -> None:
    made = exported("retinanet", False)
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
    (tmp_path / "no.onnx").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as an ONNX file"):
        OnnxModel(tmp_path / "no.onnx", None)
    with pytest.raises(InputError, match="image of 200x100 pixels .* file's 128x128"):
        fill(torch.zeros(3, 100, 200), (128, 128), [0.0] * 3)
    config = str(tmp_path / "config.py")
    for words, said in (
        (["--int8"], "--int8 needs --data"),
        (["-o", "model.txt"], "model.onnx"),
    ):
        assert main_fails(["export", config, str(checkpoint), *words]) == 2
        assert said in capsys.readouterr().err


def test_free_size_with_a_torch_that_lacks_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exporter: None
) -> None:
    monkeypatch.setattr(onnx_file, "OBLIVIOUS", "a_setting_of_the_future")
    with pytest.raises(InputError, match=r"newer torch than .* leave --dynamic out"):
        onnx_file.write_onnx(SimpleNamespace(multiple=32), tmp_path / "a.onnx", (64, 64), dynamic=True)
