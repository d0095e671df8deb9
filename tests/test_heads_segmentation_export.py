"""The real-time segmentors as ONNX files, of one image size and of any, answer as torch does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from test_heads_segmentation_originals import build, logits, shaken
from torch import Tensor, nn

#: Config, and whether images may have any size. SwiftNet reads ResNet before its activations. `make sweep`
#: takes all; those of any size take 20 seconds, and the tests of `mmbackbones export` have other such.
CASES = [
    (f"{kind}_resnet18_scratch", dynamic) for dynamic in (False, True) for kind in ("swiftnet", "bisenet")
]
TRIED = CASES if os.environ.get("MMBACKBONES_SWEEP") else CASES[:1]


class Logits(nn.Module):
    """A segmentor from normalised images to logits."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x, mode="tensor")


@pytest.mark.parametrize(("name", "dynamic"), TRIED)
def test_onnx_gives_torchs_logits(name: str, dynamic: bool, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra dev")
    net = shaken(build(f"segmentation/{name}"))
    path = str(tmp_path / "net.onnx")
    x = torch.rand(2, 3, 96, 128)
    any_size = {axis: torch.export.Dim(label, min=1) for axis, label in ((0, "n"), (2, "h"), (3, "w"))}
    shapes = (any_size,) if dynamic else None
    with torch.no_grad():
        torch.onnx.export(Logits(net), (x,), path, dynamo=True, verbose=False, dynamic_shapes=shapes)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in [(2, 3, 96, 128), *([(1, 3, 97, 131), (3, 3, 160, 64)] if dynamic else [])]:
        image = torch.rand(size)
        (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
        expected = logits(net, image)
        assert expected.std() > 1e-2
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-3, rtol=0)
