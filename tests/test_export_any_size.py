"""Networks and necks whose maps are cut to size keep their sizes and values when exported for any size."""

from __future__ import annotations

import io

import pytest
import torch
from cases import needs_newer_torch
from torch import Tensor, nn

import mmbackbones
from mmbackbones.necks import ToStrides

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
