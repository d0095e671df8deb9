"""Optional packages: imported where they are used, and one that is missing is named with its extra."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from refusals import refused

import mmbackbones
from mmbackbones.data.shapes import write_shapes
from mmbackbones.errors import OPTIONAL, InputError, MissingPackageError, need
from mmbackbones.export.onnx_file import quantise, write_onnx
from mmbackbones.export.session import OnnxModel
from mmbackbones.heads import HEADS, LOSSES, PARTS

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="Python 3.10 has no TOML reader")

#: What everybody has: the dependencies, and what theirs bring.
ALWAYS = {
    *("torch", "torchvision", "timm", "mmengine", "numpy", "typer", "rich", "psutil", "packaging"),
    *("cv2", "safetensors"),  # by mmengine and by timm
}


def imported(path: Path) -> set[str]:
    """Top-level modules that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"mmbackbones"}


def test_every_import_is_of_a_dependency_or_of_an_extra(root: Path) -> None:
    paths = [path for folder in ("plugin", "necks") for path in (root / folder).rglob("*.py")]
    found = set().union(*map(imported, paths))
    assert {"torch", "mmdet", "onnx", "scipy"} <= found
    assert found <= ALWAYS | OPTIONAL.keys()


def test_each_extra_brings_what_is_said_of_it(root: Path) -> None:
    listed = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    homes = {"pynvml": ["nvidia-ml-py"], **metadata.packages_distributions()}
    brought = {
        extra: {canonicalize_name(Requirement(text).name) for text in listed[extra]}
        for extra in OPTIONAL.values()
    }
    for module, extra in OPTIONAL.items():
        assert not brought[extra].isdisjoint(map(canonicalize_name, homes.get(module, [module]))), module


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Takes modules away, and what has imported them: of ours all files with these beginnings."""

    def take(*modules: str, ours: tuple[str, ...] = ()) -> None:
        for name in list(sys.modules):
            if name.partition(".")[0] in modules:
                monkeypatch.setitem(sys.modules, name, None)
            elif ours and name.startswith(ours):
                monkeypatch.delitem(sys.modules, name)
        for name in modules:
            monkeypatch.setitem(sys.modules, name, None)

    return take


def test_what_is_missing_is_named_once_for_all(without: Callable[..., None]) -> None:
    need("onnx", "scipy", "mmdet")
    without("onnx", "scipy")
    with pytest.raises(MissingPackageError) as caught:
        need("mmdet", "onnx", "scipy")
    said = (
        "onnx, scipy not installed: pip install 'mmbackbones[export,leaderboard]'. `mmbackbones doctor` shows"
    )
    assert str(caught.value).startswith(said)
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, ModuleNotFoundError)
    assert caught.value.name == "onnx"


def test_the_demo_begins_nothing_that_it_cannot_end(
    without: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without("pycocotools")
    assert "pycocotools not installed: pip install 'mmbackbones[mm]'" in refused(
        capsys, "demo", "--work-dir", tmp_path / "demo"
    )
    assert not any(tmp_path.iterdir())
    with pytest.raises(MissingPackageError, match="pycocotools"):
        write_shapes(tmp_path / "shapes", train=1, val=1, size=(64, 64))
    assert not any(tmp_path.iterdir())


def test_a_command_whose_imports_fail_names_the_extra(
    without: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    without("scipy", ours=("mmbackbones.leaderboard", "mmbackbones.cli.leaderboard"))
    said = refused(capsys, "leaderboard", "demo")
    assert "scipy not installed: pip install 'mmbackbones[leaderboard]'" in said
    assert not any(tmp_path.iterdir())


def test_heads_name_the_extra(without: Callable[..., None], root: Path) -> None:
    """Each imports what it needs when it is asked for."""
    packages = {"mmdet", "mmseg", "mmcv"}
    without(*packages, ours=("mmbackbones.heads.",))
    heads = importlib.import_module("mmbackbones.heads")
    files = {
        name: root / "plugin/heads" / f"{file}.py" for name, file in {**HEADS, **LOSSES, **PARTS}.items()
    }
    need_them = [name for name, file in files.items() if packages & imported(file)]
    assert len(need_them) > 8
    for name in need_them:
        with pytest.raises(MissingPackageError, match=r"(mmdet|mmseg|mmcv) not installed: .*\[mm\]"):
            getattr(heads, name)


def test_exporting_names_the_extra(without: Callable[..., None], tmp_path: Path) -> None:
    without("onnx", "onnxruntime", "onnxscript")
    doors = [
        lambda: write_onnx(None, tmp_path / "a.onnx", (64, 64)),  # type: ignore[arg-type]
        lambda: quantise(tmp_path / "a.onnx", tmp_path / "b.onnx", []),
        lambda: OnnxModel(tmp_path / "a.onnx", None),
    ]
    for door in doors:
        with pytest.raises(MissingPackageError, match=re.escape("pip install 'mmbackbones[export]'")):
            door()
    assert not any(tmp_path.iterdir())


def test_public_names_go_without_the_extras(without: Callable[..., None]) -> None:
    """What needs none of them is there without them."""
    without(*OPTIONAL.keys() - {"yaml", "PIL"})
    net = mmbackbones.build("mobilenetv1_025", out_strides=(32,))
    assert net.out_strides == (32,)
