"""The real-time segmentors as ONNX files, of one image size and of any, answer as torch does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cases import swept
from test_heads_segmentation_originals import build, shaken

from mmbackbones.bench.segmentation import OURS
from mmbackbones.cli import main
from mmbackbones.export.graph import ExportNet
from mmbackbones.export.onnx_file import INPUT, write_onnx

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra export")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra export")

#: Config, and whether images may have any size.
CASES = [(name, dynamic) for name in OURS for dynamic in (False, True)]

#: Operators of ONNX's own domain that TensorRT's parser takes: those marked Y in the support matrix of
#: onnx-tensorrt for TensorRT 8.4 (its page operators.md), and no more than the real-time nets need.
#: A graph may hold whole numbers in shapes and comparisons alone; TensorRT takes them for 32-bit ones.
LAYERS = {
    "Conv",
    "BatchNormalization",
    "Relu",
    "Clip",
    "Sigmoid",
    "MaxPool",
    "ReduceMean",
    "Resize",
    "MatMul",
}
ARITHMETIC = {"Add", "Sub", "Mul", "Div", "Max", "And", "Less", "Greater", "ReduceSum", "Cast"}
SHAPING = {
    "Shape",
    "Range",
    "Gather",
    "Slice",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Transpose",
    "Concat",
    "Split",
}
#: What the matrix says of Resize.
COORDINATES = {"half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"}
MODES = {"nearest", "linear"}


def attributes(node: Any) -> dict[str, Any]:
    return {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}


def check_operators(path: Path) -> None:
    """Nothing but what both runtimes are known to take."""
    model = onnx.load(str(path))
    onnx.checker.check_model(model)
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    assert {node.op_type for node in model.graph.node} <= LAYERS | ARITHMETIC | SHAPING
    for node in model.graph.node:
        given = attributes(node)
        if node.op_type == "Resize":
            assert given["coordinate_transformation_mode"].decode() in COORDINATES
            assert given["mode"].decode() in MODES
            assert not given.get("antialias")
        if node.op_type == "MaxPool":
            assert len(node.output) == 1  # TensorRT gives no indices


@swept("two minutes; the command exports SwiftNet with ResNet-18 below, for any size")
@pytest.mark.parametrize(("name", "dynamic"), CASES)
def test_onnx_gives_torchs_logits(name: str, dynamic: bool, tmp_path: Path, exporter: None) -> None:
    net = ExportNet(shaken(build(name))).eval()
    path = tmp_path / "net.onnx"
    write_onnx(net, path, (96, 128), dynamic=dynamic)
    check_operators(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for size in [(96, 128), *([(97, 131), (160, 64)] if dynamic else [])]:
        image = torch.rand(1, 3, *size) * 255
        with torch.no_grad():
            (expected,) = net(image)
        (found,) = session.run(None, {INPUT: image.numpy()})
        assert expected.shape == (1, 19, *size)
        assert 1e-2 < expected.std() < 1e2
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-3, rtol=0)


def test_the_command_writes_a_file_that_labels_real_images_as_torch_does(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], exporter: None
) -> None:
    import cv2

    net = shaken(build(OURS[-1]))
    torch.save({"state_dict": net.state_dict()}, tmp_path / "net.pth")
    with pytest.raises(SystemExit) as end:
        main(
            [
                "export",
                OURS[-1],
                str(tmp_path / "net.pth"),
                "--img-scale",
                "256x192",
                "--dynamic",
                "-o",
                str(tmp_path / "net.onnx"),
            ]
        )
    assert end.value.code in (0, None), capsys.readouterr()
    check_operators(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    torch_net = ExportNet(net).eval()
    photos = sorted((shared / "data/camvid/images/val").glob("*.jpg"))[::40][:3]
    for photo, size in zip(photos, ((480, 360), (301, 227), (160, 120)), strict=True):
        pixels = cv2.resize(cv2.imread(str(photo)), size)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            (expected,) = torch_net(image)
        (found,) = session.run(None, {INPUT: image.numpy()})
        assert expected.argmax(1).unique().numel() > 1
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-3, rtol=0)
        same = (torch.from_numpy(found).argmax(1) == expected.argmax(1)).float().mean()
        assert same > 0.999
