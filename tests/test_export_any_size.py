"""Networks and necks whose maps are cut to size keep their sizes and values when exported for any size."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path

import pytest
import torch
from cases import needs_newer_torch
from timm.layers import padding
from torch import Tensor, nn

import mmbackbones
from mmbackbones.export.onnx_file import write_onnx
from mmbackbones.necks import ToStrides
from mmbackbones.sources.exporting import padding_in_whole_numbers

SIZE, OTHER = (64, 96), (101, 75)


class OddStrides(nn.Module):
    """A backbone that needs no padding, and a neck that cuts its maps."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = mmbackbones.build("timm:resnet10t", out_strides=(8, 32))
        self.neck = ToStrides(self.backbone.out_channels, None, (8, 32), (4, 16))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.neck(self.backbone(x))


def convnext() -> nn.Module:
    return mmbackbones.build("timm:convnext_atto")


def swin() -> nn.Module:
    small = dict(embed_dim=24, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), always_partition=True)
    return mmbackbones.build("timm:swin_tiny_patch4_window7_224", net_kwargs=small)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("make", [convnext, swin, pytest.param(OddStrides, marks=needs_newer_torch)])
def test_torchscripts_onnx_with_free_sides(make) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra dev")
    net, file = make().eval(), io.BytesIO()
    axes = {"image": {0: "n", 2: "h", 3: "w"}}
    torch.onnx.export(
        net, (torch.rand(1, 3, *SIZE),), file, dynamo=False, input_names=["image"], dynamic_axes=axes
    )
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    x = torch.rand(2, 3, *OTHER)
    with torch.no_grad():
        for ours, theirs in zip(session.run(None, {"image": x.numpy()}), net(x), strict=True):
            torch.testing.assert_close(torch.from_numpy(ours), theirs, rtol=1e-3, atol=1e-4)


@needs_newer_torch
def test_torch_export_with_free_sides() -> None:
    net = convnext().eval()
    sides = {2: torch.export.Dim("h", min=64, max=512), 3: torch.export.Dim("w", min=64, max=512)}
    program = torch.export.export(net, (torch.rand(1, 3, *SIZE),), dynamic_shapes={"x": sides})
    x = torch.rand(1, 3, *OTHER)
    with torch.no_grad():
        for ours, theirs in zip(program.module()(x), net(x), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_same_padding_is_timms_and_given_back() -> None:
    cases = list(product(range(1, 30), (1, 2, 3, 5, 7), (1, 2, 3, 4), (1, 2)))
    of_timm = padding.get_same_padding
    expected = [of_timm(*case) for case in cases]
    with padding_in_whole_numbers():
        assert padding.get_same_padding is not of_timm
        assert [padding.get_same_padding(*case) for case in cases] == expected
    assert padding.get_same_padding is of_timm


class Padded(nn.Module):
    """What ``write_onnx`` takes: convolutions in TensorFlow's padding, on which torch once did not end."""

    inputs, outputs, channels, multiple = ("image",), ("map",), 3, 1

    def __init__(self) -> None:
        super().__init__()
        self.net = mmbackbones.build("mobilenetv3_small_minimal_100", out_strides=(32,))

    def pad_value(self) -> list[float]:
        return [0.0, 0.0, 0.0]

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)[0]


@needs_newer_torch
def test_sizes_behind_tensorflows_padding_stay_simple(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx comes with the extra export")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra dev")
    net = Padded().eval()
    write_onnx(net, tmp_path / "model.onnx", SIZE, dynamic=True)
    height = onnx.load(str(tmp_path / "model.onnx")).graph.output[0].type.tensor_type.shape.dim[2].dim_param
    assert height.replace(" ", "").count("/") == 2, height  # one division in whole numbers
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    x = torch.rand(1, 3, *OTHER)
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(session.run(None, {"image": x.numpy()})[0]), net(x), rtol=1e-3, atol=1e-4
        )
