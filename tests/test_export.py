"""``mmbackbones export``: the file does what the model does."""

from __future__ import annotations

import json
import runpy
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from cases import swept
from export_cases import BACKBONE, ONE_STAGE, SEGMENTERS, TRIED, Exported, alone, found_alone
from mmdet.visualization import DetLocalVisualizer
from mmengine.registry import MODELS as REGISTRY
from mmengine.registry import init_default_scope
from PIL import Image
from torchvision.ops import box_iou

import mmbackbones
from mmbackbones import InputError
from mmbackbones.compose.filling import compose
from mmbackbones.export import onnx_file
from mmbackbones.export.export import measure
from mmbackbones.export.folder import choosing, program
from mmbackbones.export.graph import ExportNet, output_names
from mmbackbones.export.openvino_file import write_openvino
from mmbackbones.export.session import OnnxModel, choose, fill, seconds

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra export")

#: For the fixture ``shapes``.
SHAPES = dict(train=4, val=3, size=(128, 128))


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
            if "masks" in b:
                assert (a.masks == b.masks).float().mean() > 0.999
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


# Random scores of yolov4-tiny are all 1: which of its boxes come first is chance.
@pytest.mark.parametrize(("model", "dynamic"), [case for case in TRIED if case[0] != "yolov4-tiny"])
def test_the_folder_runs_alone(
    model: str, dynamic: bool, exported: Export, shapes: Path, tmp_path: Path
) -> None:
    made, images = exported(model, dynamic), sorted((shapes / "images" / "val").iterdir())[:2]
    predict = mmbackbones.load(made.checkpoint, made.checkpoint.with_name("config.py"), score_thr=0.0)
    facts = json.loads((made.folder / "model.json").read_text())
    assert facts["classes"] == predict.classes
    assert facts["input"]["shape"] == [1, 3, *([None, None] if dynamic else [128, 128])]
    if made.segmenter:
        program = "import runpy; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
        alone(f"import os; os.chdir({str(tmp_path)!r})\n{program}", made.folder / "run.py", *images)
        for path in images:
            labels = np.asarray(Image.open(tmp_path / f"{path.stem}_labels.png"))
            assert (labels == predict(path).label_map).mean() > 0.999
        return
    found = found_alone(made.folder, images, tmp_path)
    for k, path in enumerate(images):
        theirs = predict(path)
        assert len(found[f"boxes{k}"]) == len(theirs.boxes) > 2
        assert [predict.classes[label] for label in found[f"labels{k}"]] == found[f"classes{k}"].tolist()
        np.testing.assert_allclose(found[f"scores{k}"], theirs.scores, atol=1e-3)
        overlap = box_iou(torch.from_numpy(found[f"boxes{k}"]).float(), torch.from_numpy(theirs.boxes))
        same = torch.from_numpy(found[f"labels{k}"])[:, None] == torch.from_numpy(theirs.labels)
        assert ((overlap * same).amax(1) > 0.99).float().mean() > 0.95  # near ties may change places
        assert (f"masks{k}" in found) == (theirs.masks is not None)
        if theirs.masks is not None:
            near, own = (overlap * same).max(1)
            alike = found[f"masks{k}"] == theirs.masks[own]
            assert theirs.masks.any((1, 2)).mean() > 0.5
            assert alike[near > 0.99].mean((1, 2)).min() > 0.99
            assert alike[near > 0.99].mean() > 0.999


@swept("an export more")
@pytest.mark.parametrize("model", ONE_STAGE)
def test_boxes_are_chosen_inside_a_file_for_any_size(
    model: str, exported: Export, tmp_path: Path, exporter: None
) -> None:
    network = exported(model, True).network
    if model == "efficientdet-d0":
        with pytest.raises(InputError, match="--nms: its suppression .*soft_nms"):
            ExportNet(network, nms=True)
        return
    with torch.no_grad():  # random scores of yolov4-tiny would all be 1
        for layer in network.bbox_head.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(0.3)
    onnx_file.write_onnx(ExportNet(network, nms=True).eval(), tmp_path / "a.onnx", (128, 128), dynamic=True)
    session = OnnxModel(tmp_path / "a.onnx", network)
    for sides, padded in (((90, 120), (96, 128)), ((160, 128), (160, 128))):
        image = 255 * torch.rand(1, 3, *padded)
        with torch.no_grad():
            boxes, scores = ExportNet(network).eval()(image)
        meta = {"img_shape": sides, "ori_shape": sides, "scale_factor": (1.0, 1.0)}
        theirs = choose(network.bbox_head, boxes[0], scores[0], meta)
        found, sure, labels = (one[0] for one in session.run(image, sides))
        assert len(found) == len(theirs) > 10
        torch.testing.assert_close(sure, theirs.scores, rtol=0, atol=1e-3)
        overlap = box_iou(found, theirs.bboxes) * (labels[:, None] == theirs.labels)
        assert (overlap.amax(1) > 0.99).float().mean() > 0.95  # near ties may change places


def shaped(model: str) -> torch.nn.Module:
    """A model with small backbone, without values."""
    cfg, _ = compose(model, BACKBONE, pretrained=False)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        return REGISTRY.build(cfg.model)


@pytest.mark.parametrize("model", ONE_STAGE)
def test_every_model_that_the_message_names_is_taken(model: str) -> None:
    assert output_names(shaped(model)) == ("boxes", "scores")


@pytest.mark.parametrize("model", ONE_STAGE)
def test_boxes_are_chosen_for_every_kind_of_head(model: str) -> None:
    head = shaped(model).bbox_head
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


@pytest.mark.parametrize("model", ONE_STAGE)
def test_the_program_chooses_the_same_boxes(model: str, tmp_path: Path) -> None:
    head = shaped(model).bbox_head
    corner = 180 * torch.rand(80, 2)  # mmcv moves classes apart by what is right of 0 only
    boxes = torch.cat([corner, corner + 20 + 40 * torch.rand(80, 2)], 1)
    scores = torch.rand(80, 3)
    rules = choosing(head)
    (tmp_path / "run.py").write_text(
        program({"choose": rules, "input": {"channels": "BGR"}, "resize": {"as": "opencv"}})
    )
    parts = runpy.run_path(str(tmp_path / "run.py"))
    meta = {"img_shape": (190, 200), "ori_shape": (380, 300), "scale_factor": (200 / 300, 0.5)}
    theirs = choose(head, boxes, scores, meta)
    named = {"boxes": boxes.numpy(), "scores": scores.numpy()}
    ours = parts["choose"](named, meta["ori_shape"], meta["img_shape"], rules, 0.0)
    assert len(ours["boxes"]) == len(theirs) > 10
    assert ours["labels"].tolist() == theirs.labels.tolist()
    np.testing.assert_allclose(ours["scores"], theirs.scores, atol=1e-5)
    np.testing.assert_allclose(ours["boxes"], theirs.bboxes, atol=1e-3)


def test_the_command_measures_both_forms(exported: Export) -> None:
    made = exported("retinanet", False)
    big, small = (made.files[what].stat().st_size for what in ("onnx", "int8"))
    assert small < 0.5 * big
    assert any("MB" in line and "ms" in line and "bbox_mAP_50" in line for line in made.said.splitlines())
    assert f"{big / 1e6:.4g}" in made.said
    assert "index" not in made.said  # pycocotools tells what it reads
    assert "not quite what `predict` finds; with --dynamic it is" in " ".join(made.said.split())
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


def test_openvinos_files_answer_as_onnxs(exported: Export, tmp_path: Path) -> None:
    for package in ("openvino", "nncf"):
        pytest.importorskip(package, reason=f"{package} comes with the extra openvino")
    made = exported("retinanet", False)
    whole = made.session("onnx")
    images = [fill(one, whole.size, whole.pad_value) for one in made.data[0]["inputs"]]
    expected = whole.run(images[0])
    for name, seen, least in (("half", None, 0.999), ("int8", images, 0.9)):
        write_openvino(made.files["onnx"], tmp_path / f"{name}.xml", seen)
        found = OnnxModel(tmp_path / f"{name}.xml", made.network)
        assert (found.size, found.pad_value, found.multiple) == (whole.size, whole.pad_value, whole.multiple)
        for ours, theirs in zip(found.run(images[0]), expected, strict=True):
            assert torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1] > least
    big, half, small = (
        path.stat().st_size for path in (made.files["onnx"], tmp_path / "half.bin", tmp_path / "int8.bin")
    )
    assert small < 0.7 * half < 0.5 * big
