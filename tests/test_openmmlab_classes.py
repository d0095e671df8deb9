"""Every backbone class of mmdet, mmseg and mmpretrain: compared with one of ours, or a reason why not."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

import mmbackbones
from mmbackbones import InputError
from mmbackbones.weights.counterpart_rows import COUNTERPARTS
from mmbackbones.weights.counterparts import counterpart, every_counterpart
from mmbackbones.weights.openmmlab_classes import PACKAGES
from mmbackbones.weights.strangers import OTHERS, STRANGERS

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "checkpoints.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_class_has_a_row_or_a_reason(package: str) -> None:
    if package == "mmpretrain" and not SCRIPT["find_mmpretrain"]():
        pytest.skip("mmpretrain is no dependency: install it, or name its folder in MMBACKBONES_MMPRETRAIN")
    pytest.importorskip(package, reason=f"{package} comes with the extra mm")
    importlib.import_module(PACKAGES[package])
    registered = importlib.import_module(f"{package}.registry").MODELS.module_dict
    classes = {
        f"{package}.{name}"
        for name, kind in registered.items()
        if kind.__module__.startswith(f"{PACKAGES[package]}.") and issubclass(kind, nn.Module)
    }
    assert len(classes) >= 20
    rows = {row.theirs for row in COUNTERPARTS}
    assert classes - rows - STRANGERS.keys() == set()
    assert {name for name in rows | STRANGERS.keys() if name.startswith(f"{package}.")} == classes


def test_the_page_gives_every_reason() -> None:
    lines = SCRIPT["PAGE"].read_text(encoding="utf-8").splitlines()
    assert [
        f"| {kind} | {why} |" for kind, why in STRANGERS.items() if f"| {kind} | {why} |" not in lines
    ] == []
    assert not STRANGERS.keys() & {row.theirs for row in COUNTERPARTS}


def test_other_sizes_are_known_by_name() -> None:
    assert counterpart("resnet101", "mmdet.ResNet").arguments == {"depth": 101}
    named = [(row.theirs, row.name) for row in every_counterpart()]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("names", [names for names, *_ in OTHERS], ids=[reason for _, reason, _ in OTHERS])
def test_networks_that_only_look_alike_are_refused_by_their_names(names: set[str], tmp_path: Path) -> None:
    """Whatever their shapes; mmpretrain need not be there."""
    file = tmp_path / "w.pth"
    torch.save({"state_dict": {f"backbone.{name}": torch.zeros(4, 3, 3, 3) for name in names}}, file)
    with pytest.raises(
        InputError, match=r"w.pth is refused: mm\w+'s .*\. Take |w.pth is refused: OpenMMLab's"
    ):
        mmbackbones.build("resnet18", pretrained=str(file))
