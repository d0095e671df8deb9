"""docs/own-networks.md: every block of code and every command on it runs."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from own_cases import registered  # noqa: F401
from test_house import code_blocks
from typer.testing import CliRunner

from mmbackbones.cli import app
from mmbackbones.registry import MODELS

pytestmark = pytest.mark.usefixtures("registered")


@pytest.fixture
def page(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page, with its first block as ``my_nets.py`` in the folder."""
    path = root / "docs/own-networks.md"
    (tmp_path / "my_nets.py").write_text(code_blocks(path)[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    return path


def test_python_of_the_page_runs(page: Path) -> None:
    configs = 0
    for number, block in enumerate(code_blocks(page)[1:]):
        file = Path(f"block{number}.py")
        file.write_text(block)
        if "segmentation_models_pytorch" in block:
            pytest.importorskip("segmentation_models_pytorch", reason="comes with the extra dev")
        if not block.startswith("_base_"):
            runpy.run_path(str(file))
            continue
        model = Config.fromfile(file).model
        backbone, neck = MODELS.build(model.backbone), MODELS.build(model.neck)
        assert type(backbone).__name__ == "mynet"
        neck(backbone(torch.rand(1, 3, 64, 64)))
        configs += 1
    assert configs == 2


def test_commands_of_the_page_run(page: Path) -> None:
    commands = re.findall(r"^mmbackbones (.+)$", page.read_text(encoding="utf-8"), re.M)
    assert {command.split()[0] for command in commands} == {"check", "info", "list"}
    for command in commands:
        done = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, command.split())
        assert done.exit_code == 0, done.output
        assert "mynet" in done.output
