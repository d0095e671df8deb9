"""Users' own networks together with what else there is: OpenMMLab's files, trainings in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import swept
from own_cases import registered  # noqa: F401
from refusals import BASES, MODEL, config

import mmbackbones

pytest.importorskip("mmdet", reason="mmdet comes with the extra mm")
pytestmark = pytest.mark.usefixtures("registered")

#: For the fixture ``shapes``.
SHAPES = dict(train=2, val=1)


def test_a_file_of_openmmlab_is_read_by_an_own_network(tmp_path: Path) -> None:
    """By its own names where the network is OpenMMLab's class, by order and shape where it is another's."""
    import timm
    from mmdet.models.backbones import MobileNetV2

    arguments = dict(widen_factor=0.35, out_indices=(1, 2, 4, 6))
    theirs = MobileNetV2(**arguments)
    for name, value in theirs.state_dict().items():
        if value.is_floating_point():
            torch.nn.init.uniform_(value, 0.5 if name.endswith("var") else -0.5, 1.0)
    file = tmp_path / "detector.pth"
    state = {f"backbone.{name}": value for name, value in theirs.state_dict().items()}
    torch.save(dict(meta={}, state_dict={**state, "bbox_head.weight": torch.ones(1)}), file)
    mmbackbones.register_backbone("theirs", lambda: MobileNetV2(**arguments))
    timms, before_head = lambda: timm.create_model("mobilenetv2_035"), {32: "blocks"}
    mmbackbones.register_backbone("timms", timms, weights=(str(file),), taps=before_head)
    theirs.eval()
    x = torch.rand(1, 3, 64, 96)
    for name, chosen in (("theirs", str(file)), ("timms", True)):
        net = mmbackbones.build(name, pretrained=chosen).eval()
        assert (net.load_report.missing, net.load_report.unexpected) == ((), ())
        with torch.no_grad():
            for ours, expected in zip(net(x), theirs(x), strict=True):
                torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(mmbackbones.InputError, match="dictnet and the network of the file differ"):
        mmbackbones.build("dictnet", pretrained=str(file))


NET = """
from own_nets import DictNet


def small():
    return DictNet(width=8)
"""
OPTIMISER = """
custom_imports = dict(imports=['paper_nets']) if {named} else None
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='mmbackbones.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.05),
    paramwise_cfg=dict(decay_rate=0.5))
"""


@pytest.mark.parametrize("name", ["offered", pytest.param("imported", marks=swept("a second training"))])
def test_a_fresh_process_trains_it_by_entry_point_and_by_import(
    name: str, shapes: Path, tmp_path: Path
) -> None:
    """In mixed precision, with layer-wise learning rates and a frozen stage; the config alone names it."""
    (tmp_path / "paper_pkg.py").write_text(NET)
    (tmp_path / "paper_nets.py").write_text(
        "import paper_pkg\nfrom mmbackbones import register_backbone\n"
        "register_backbone('imported', paper_pkg.small)\n"
    )
    info = tmp_path / "paper_pkg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paper-pkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mmbackbones.backbones]\noffered = paper_pkg:small\n")
    neck = dict(MODEL["neck"], in_channels=[16, 24, 32, 40])
    backbone = dict(type=f"mmbackbones.{name}", frozen_stages=1)
    file = config(tmp_path / f"{name}.py", BASES, **{**MODEL, "backbone": backbone, "neck": neck})
    file.write_text(file.read_text() + OPTIMISER.format(named=name == "imported"))
    words = ["train", file, "--data", shapes, "--img-scale", "64x64", "--batch-size", 2, "--epochs", 1]
    words += ["--amp", "bf16", "--device", "cpu", "--seed", 0, "--work-dir", tmp_path / name]
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-m", "mmbackbones.cli", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
    )
    # 1 where so short a training finds nothing
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert done.stdout.count("mixed precision: bfloat16") == 1, done.stdout
    log = "\n".join(path.read_text() for path in (tmp_path / name).rglob("*.log"))
    assert f"{name}: maps are read at stride 2: the input of pool" in log
    state = torch.load(tmp_path / name / "last.pth", weights_only=True)["state_dict"]
    assert {key for key in state if key.startswith("backbone.res5.")}
    assert int(state["backbone.res2.0.bn1.num_batches_tracked"]) == 0
    assert int(state["backbone.res3.0.bn1.num_batches_tracked"]) > 0
