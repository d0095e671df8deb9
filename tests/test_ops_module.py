"""The stand-in for mmcv._ext as a module."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mmbackbones  # noqa: F401 (offers mmcv._ext)

mmcv_ops = pytest.importorskip("mmcv.ops", reason="the extra mmbackbones[mm] is not installed")
import mmcv._ext as ext  # noqa: E402

from mmbackbones.errors import InputError  # noqa: E402
from mmbackbones.ops.ext import OPERATORS, MissingOperatorError  # noqa: E402


def test_every_operator_has_its_function() -> None:
    for name in OPERATORS:
        assert getattr(ext, name).__wrapped__.__name__ == name
    assert dir(ext) == sorted(OPERATORS)


def test_missing_operator_names_itself_and_compiled_mmcv() -> None:
    assert hasattr(ext, "ball_query_forward")
    with pytest.raises(MissingOperatorError, match=r"'ball_query_forward'.*Compiled mmcv has it") as caught:
        mmcv_ops.ball_query(0.0, 1.0, 4, torch.zeros(1, 8, 3), torch.zeros(1, 2, 3))
    assert isinstance(caught.value, InputError | NotImplementedError)


def test_special_names_are_not_invented() -> None:
    assert not hasattr(ext, "__path__")
    assert not hasattr(ext, "_private")


def test_mmcv_and_mmengine_see_a_module() -> None:
    assert importlib.util.find_spec("mmcv._ext") is not None
    if sys.version_info < (3, 14):
        assert pkgutil.find_loader("mmcv._ext") is not None
    from mmcv.utils import collect_env

    assert "mmbackbones" in collect_env()["MMCV Compiler"]


def test_a_compiled_module_wins(tmp_path: Path) -> None:
    """A real ``mmcv._ext`` stands before the finder: here a file of that name on mmcv's path."""
    (tmp_path / "_ext.py").write_text("nms = 'compiled'\n")
    code = (
        f"import mmbackbones, mmcv; mmcv.__path__.append({str(tmp_path)!r}); "
        "import mmcv._ext; assert mmcv._ext.nms == 'compiled'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


NOT_REACHED = {
    "nms_rotated": "called by mmcv.ops.nms_rotated only, which neither package imports",
    "nms_quadri": "called by mmcv.ops.nms_quadri only, which neither package imports",
}


def imported_from_mmcv_ops() -> set[str]:
    """Names that the installed mmdet and mmseg import from mmcv.ops, read from their sources."""
    names = set()
    for package in ("mmdet", "mmseg"):
        root = Path(importlib.util.find_spec(package).origin).parent
        for file in root.rglob("*.py"):
            if ".mim" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmcv.ops"):
                    names |= {alias.name for alias in node.names}
    return names


def built_by_configs() -> set[str]:
    """Classes of mmcv.ops that configs name as strings, like ``type='DCN'``."""
    from mmengine.registry import MODELS

    registered = {
        key: cls for key, cls in MODELS.module_dict.items() if cls.__module__.startswith("mmcv.ops")
    }
    named = {cls.__name__: cls for cls in vars(mmcv_ops).values() if inspect.isclass(cls)} | registered
    found = set()
    for package in ("mmdet", "mmseg"):
        root = Path(importlib.util.find_spec(package).origin).parent / ".mim" / "configs"
        for file in root.rglob("*.py"):
            constants = (n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant))
            found |= {named[c.value].__name__ for c in constants if c.value in named}
    return found


def test_all_that_mmdet_and_mmseg_use_is_computed() -> None:
    used = imported_from_mmcv_ops() | built_by_configs()
    assert {"RoIPool", "DeformConv2d", "PSAMask", "batched_nms", "DeformRoIPoolPack"} <= used
    assert not set(NOT_REACHED) & used
    modules = set()
    for name in used:
        module = next((m for m in submodules() if hasattr(m, name)), None)
        assert module is not None, f"mmcv.ops has no {name}"
        home = inspect.getmodule(getattr(module, name))
        modules.add(module if home is None or not home.__name__.startswith("mmcv.ops") else home)
    asked = {name for module in modules for name in asked_of_ext(module)}
    assert {"roi_align_forward", "nms", "modulated_deform_conv_backward"} <= asked
    assert asked - set(NOT_REACHED) <= set(OPERATORS)


def submodules() -> list:
    return [
        importlib.import_module(f"mmcv.ops.{info.name}") for info in pkgutil.iter_modules(mmcv_ops.__path__)
    ]


def asked_of_ext(module: object) -> set[str]:
    """The operators that a module of mmcv.ops, or one whose operators it imports, lists for the extension."""
    tree, asked = ast.parse(inspect.getsource(module)), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "load_ext":
            asked |= set(ast.literal_eval(node.args[1]))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmcv.ops."):
            asked |= asked_of_ext(importlib.import_module(node.module))
    return asked
