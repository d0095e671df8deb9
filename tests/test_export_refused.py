"""``mmbackbones export``: what cannot be exported is refused, and nothing is written."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from export_cases import trained
from test_compose import main_fails

from mmbackbones import InputError
from mmbackbones.export import onnx_file
from mmbackbones.export.export import export
from mmbackbones.export.session import OnnxModel, fill

pytest.importorskip("onnx", reason="onnx comes with the extra export")

#: For the fixture ``shapes``.
SHAPES = dict(train=4, val=3, size=(128, 128))


def test_what_cannot_be_exported_is_refused(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    cfg, checkpoint = trained("faster-rcnn", shapes, tmp_path)
    cfg.model.test_cfg.rcnn.nms = dict(type="soft_nms", iou_threshold=0.5)
    with pytest.raises(InputError, match="FasterRCNN cannot be exported.*soft_nms.*retinanet, ssdlite"):
        export(cfg, checkpoint, tmp_path / "model.onnx")
    (tmp_path / "no.onnx").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as an ONNX file"):
        OnnxModel(tmp_path / "no.onnx", None)
    with pytest.raises(InputError, match="image of 200x100 pixels .* file's 128x128"):
        fill(torch.zeros(3, 100, 200), (128, 128), [0.0] * 3)
    config = str(tmp_path / "config.py")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "run.py").write_text("mine")
    for words, said in (
        (["--int8"], "--int8 needs --data"),
        (["-o", "model.txt"], "model.onnx"),
        (["--openvino"], "openvino not installed: pip install 'mmbackbones[openvino]'"),
        (["-o", str(tmp_path / "taken")], "holds run.py, which would be replaced"),
    ):
        assert main_fails(["export", config, str(checkpoint), *words]) == 2
        assert said in capsys.readouterr().err


def test_free_size_with_a_torch_that_lacks_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exporter: None
) -> None:
    monkeypatch.setattr(onnx_file, "OBLIVIOUS", "a_setting_of_the_future")
    net = SimpleNamespace(multiple=32, channels=3, inputs=("images",))
    with pytest.raises(InputError, match=r"newer torch than .* leave --dynamic out"):
        onnx_file.write_onnx(net, tmp_path / "a.onnx", (64, 64), dynamic=True)
