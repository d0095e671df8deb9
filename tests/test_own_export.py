"""A network of the user's own through ``mmbackbones export``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from typer.testing import CliRunner

from mmbackbones.cli import app

pytest.importorskip("mmseg", reason="mmseg comes with the extra mm")
pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra export")

HEAD = dict(type="FCNHead", in_channels=80, channels=8, in_index=3, num_convs=1, num_classes=3)


@torch.no_grad()
def test_the_file_answers_as_the_model(tmp_path: Path, exporter: None) -> None:
    """The config names the network's file in ``custom_imports``."""
    from mmseg.registry import MODELS

    from mmbackbones.export.graph import ExportNet
    from mmbackbones.export.session import OnnxModel

    config, weights, file = (tmp_path / name for name in ("own.py", "own.pth", "own.onnx"))
    config.write_text(
        "_base_ = ['mmseg::_base_/default_runtime.py', 'mmseg::_base_/datasets/pascal_voc12.py']\n"
        "custom_imports = dict(imports=['own_nets'])\n"
        "model = dict(type='EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor'), "
        f"backbone=dict(type='mmbackbones.dictnet'), decode_head={HEAD!r}, test_cfg=dict(mode='whole'))\n"
    )
    cfg = Config.fromfile(config)
    init_default_scope("mmseg")
    model = MODELS.build(cfg.model).eval()
    torch.save(
        {"meta": {"dataset_meta": {"classes": list("abc")}}, "state_dict": model.state_dict()}, weights
    )
    words = ["export", str(config), str(weights), "--img-scale", "96x64", "-o", str(file)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "own.onnx" in done.output
    image = torch.rand(1, 3, 64, 96) * 255
    (expected,) = ExportNet(model).eval()(image)
    assert expected.shape == (1, 3, 64, 96)
    assert expected.std() > 0
    torch.testing.assert_close(OnnxModel(file, model).run(image)[0], expected, rtol=1e-3, atol=1e-3)
