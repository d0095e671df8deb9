"""What users hear of the library that makes files of 8 bits: nothing that they cannot act on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmbackbones.export.onnx_file import INPUT, quantise

pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra dev")


@pytest.mark.usefixtures("exporter")
def test_notes_of_the_library_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A norm that no convolution takes in has a vector of weights, of which onnxruntime says so each time."""
    net = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3)).eval()
    image, path = torch.rand(1, 3, 16, 16), tmp_path / "net.onnx"
    more: dict[str, Any] = dict(input_names=[INPUT], external_data=False, dynamo=True, verbose=False)
    torch.onnx.export(net, (image,), str(path), **more)
    caplog.clear()
    quantise(path, tmp_path / "int8.onnx", [image])
    logging.warning("what others say")  # on the same logger, afterwards
    said = [record.getMessage() for record in caplog.records if record.name == "root"]
    assert said == ["what others say"]
