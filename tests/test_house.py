"""The house: what the package imports, what the wheel holds, what the README promises."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import os
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from autoload import FIRST
from cases import SWEEP
from mmengine.config import Config

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="Python 3.10 has no TOML reader")

HEAVY = ["timm", "torchvision", "mmdet", "mmseg", "mmcv"]
#: Both import ours in one way, by mmengine's registries; that both do is seen in ``test_siblings_tools.py``.
SIBLINGS = ["mmdet", "mmseg"]
FOLDERS = {
    "mmbackbones": "plugin",
    "mmbackbones.necks": "necks",
    "mmbackbones.configs": "configs",
    "mmbackbones_autoload": "plugin/autoload",
}


def loaded_after(code: str, names: list[str], autoload: str = "1") -> list[str]:
    """Which of ``names`` are imported after ``code`` in a fresh process."""
    code += f"\nimport sys, json\nprint(json.dumps([n for n in {names} if n in sys.modules]))"
    env = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": autoload}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_import_is_cheap() -> None:
    assert loaded_after("import mmbackbones", [*HEAVY, "torch", "mmengine", "numpy", "typer"]) == []
    assert loaded_after("import torch, mmengine, mmbackbones", HEAVY, autoload="0") == []


def test_the_registry_is_cheap_and_leaves_torch_as_it_was() -> None:
    code = """
import torch
import mmengine.runner.checkpoint  # brings classes of torch.distributed that torch allows itself
load, allowed = torch.load, torch.serialization.get_safe_globals()
import mmbackbones.registry
assert torch.load is load
assert torch.serialization.get_safe_globals() == allowed
"""
    assert loaded_after(code, HEAVY) == []


def test_catalog_builds_nothing() -> None:
    code = "import mmbackbones as m\nassert len([m.get_spec(name) for name in m.list_backbones()]) > 100"
    assert loaded_after(code, [*HEAVY, "torch"]) == []


@pytest.mark.parametrize("package", SIBLINGS if SWEEP else SIBLINGS[:1])
def test_names_resolve_in_siblings_without_custom_imports(package: str) -> None:
    code = f"""
from {package}.registry import MODELS
assert MODELS.scope == "{package}"
net = MODELS.build(dict(type="mmbackbones.resnet18", out_indices=(0, 3)))
assert net.out_channels == (64, 512), net.out_channels
net = MODELS.build(dict(type="mmbackbones.Backbone", name="timm:resnet10t"))
assert net.out_strides == (4, 8, 16, 32), net.out_strides
neck = MODELS.build(dict(type="mmbackbones.FPN", in_channels=[64, 512], out_channels=8, num_outs=2))
assert type(neck).__module__ == "mmbackbones.necks.fpn"
from mmengine.registry import HOOKS, OPTIM_WRAPPER_CONSTRUCTORS
assert HOOKS.get("mmbackbones.UnfreezeHook").__name__ == "UnfreezeHook"
assert HOOKS.get("mmbackbones.FreezeReportHook").__name__ == "FreezeReportHook"
assert OPTIM_WRAPPER_CONSTRUCTORS.get("mmbackbones.LayerDecayOptimWrapperConstructor") is not None
"""
    assert loaded_after(FIRST + code, ["mmbackbones.backbone"]) == ["mmbackbones.backbone"]


def test_public_names_exist() -> None:
    import mmbackbones

    for name in mmbackbones.__all__:
        assert getattr(mmbackbones, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'buid'"):
        mmbackbones.buid  # noqa: B018


def sources(root: Path, package: str, pattern: str) -> list[Path]:
    """Files of ``package`` below its folder, without those of other packages that lie in it."""
    own = root / FOLDERS[package]
    inner = [root / folder for folder in FOLDERS.values() if own in (root / folder).parents]
    return [path for path in own.rglob(pattern) if not any(folder in path.parents for folder in inner)]


def test_packages_are_the_folders(root: Path) -> None:
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert listed["package-dir"] == FOLDERS
    found = set()
    for package, folder in FOLDERS.items():
        for init in sources(root, package, "__init__.py"):
            found.add(".".join([package, *init.parent.relative_to(root / folder).parts]))
    assert sorted(listed["packages"]) == sorted(found)


@pytest.mark.usefixtures("builder")
def test_wheel(root: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    wanted = ["plugin", "necks", "configs", "pyproject.toml", "README.md", "LICENSE"]
    tree = tmp_path / "tree"  # setuptools writes build/ and *.egg-info beside the sources
    tree.mkdir()
    subprocess.run(["cp", "-r", *wanted, tree], cwd=root, check=True)
    done = subprocess.run([*pip, "-w", tmp_path, tree], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("mmbackbones-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    expected = {"mmbackbones/py.typed", "mmbackbones/model-index.yml"}
    for package, folder in FOLDERS.items():
        for source in sources(root, package, "*.py"):
            expected.add(str(Path(*package.split(".")) / source.relative_to(root / folder)))
    for pattern in ("README.md", "*/README.md", "*/metafile.yml"):
        expected |= {f"mmbackbones/{path.relative_to(root)}" for path in (root / "configs").glob(pattern)}
    for pattern in ("*/assets/*", "advisor/boards/*/runs/*/*"):
        found = (root / "plugin").glob(pattern)
        expected |= {f"mmbackbones/{path.relative_to(root / 'plugin')}" for path in found}
    expected = {name for name in expected if "__pycache__" not in name}
    assert expected <= held, expected - held
    assert {name for name in held if not name.startswith("mmbackbones-")} == expected
    assert any(name.endswith("licenses/LICENSE") for name in held)


FAULTS = ["raise RuntimeError('on purpose')", "raise SystemExit(3)", "= no Python"]


@pytest.mark.skipif(bool(FIRST), reason="torch calls no entry points before 2.5")
def test_a_broken_package_does_not_break_torch(tmp_path: Path) -> None:
    """A ``mmbackbones`` that stands before the installed one and fails: torch warns once and is there."""
    (tmp_path / "mmbackbones.py").write_text(FAULTS[0])
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    code = f"""
import torch, torch.nn
from pathlib import Path
from mmbackbones_autoload import start  # what torch has called
for fault in {FAULTS[1:]}:
    Path("mmbackbones.py").write_text(fault)
    start()
print(torch.ones(2).sum())
"""
    words = [sys.executable, "-W", "always", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "tensor(2.)\n"), done.stderr
    warned = re.findall(r"RuntimeWarning: mmbackbones cannot be imported \((\w+)", done.stderr)
    assert warned == ["RuntimeError", "SystemExit", "SyntaxError"]
    assert "Traceback" not in done.stderr


def tracked(root: Path) -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout, so the repository's own files cannot be told from others")
    return [root / name for name in done.stdout.split("\0") if name and (root / name).is_file()]


def test_no_file_names_a_machine(root: Path) -> None:
    machine = re.compile(r"(?<![\w.$}])/(?:work|home|root|Users|mnt)/\w")
    for path in tracked(root):
        if path.suffix not in {".png", ".jpg", ".npz"} and path != Path(__file__):
            hit = machine.search(path.read_text(encoding="utf-8"))
            assert hit is None, f"{path.relative_to(root)}: {hit.group()}"


@pytest.mark.parametrize("readme", ["README.md", "README_zh-CN.md"])
def test_readme(readme: str, root: Path) -> None:
    text = (root / readme).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.M))
    used = set(re.findall(r"\bmake ([a-z]+)", text))
    assert {"demo", "test"} <= used <= targets
    from mmbackbones.cli import app

    commands = {c.name or c.callback.__name__ for c in app.registered_commands}
    written = set(re.findall(r"^mmbackbones ([a-z-]+)", text, re.M))
    assert {"train", "test", "predict", "list", "info"} <= written <= commands


def test_links_of_the_docs_lead_somewhere(root: Path) -> None:
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "configs").rglob("*.md")]
    assert len(pages) >= 8
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("readme", ["README.md", "README_zh-CN.md"])
def test_readme_has_every_argument_of_the_backbone(readme: str, root: Path) -> None:
    from mmbackbones.backbone import Backbone

    taken = inspect.signature(Backbone).parameters
    defaults = {f"{key}={p.default}" for key, p in taken.items() if p.kind is p.KEYWORD_ONLY}
    text = (root / readme).read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+=[^`]*)` \|", text, re.M))
    assert rows - {"out_indices=(0, 1, 2, 3)"} == defaults - {"out_indices=None", "out_strides=None"}


def test_tables_of_the_docs_are_fresh(root: Path) -> None:
    tables = runpy.run_path(str(root / "docs/tables.py"))
    pages = tables["pages"]()
    assert {page.name for page in pages} >= {"backbones.md"}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text == tables["fresh"](text), f"{page.name}: run `python docs/tables.py`"


def code_blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", ["README.md", "docs/backbone-contract.md"])
def test_python_of_the_docs_runs(
    page: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmengine.registry import MODELS

    from mmbackbones.catalog import own

    monkeypatch.chdir(tmp_path)  # they write files
    monkeypatch.setattr(own, "REGISTERED", dict(own.REGISTERED))  # and register networks
    for number, block in enumerate(code_blocks(root / page)):
        path = tmp_path / f"block{number}.py"
        path.write_text(block, encoding="utf-8")
        if not block.startswith("_base_"):
            runpy.run_path(str(path))
            continue
        cfg = Config.fromfile(path)
        with MODELS.switch_scope_and_registry(cfg.default_scope) as registry:
            backbone, neck = registry.build(cfg.model.backbone), registry.build(cfg.model.neck)
        assert type(backbone).__module__ == "mmbackbones.backbone"
        neck(backbone(torch.rand(1, 3, 64, 64)))


def test_readmes_show_the_same_code(root: Path) -> None:
    english, chinese = root / "README.md", root / "README_zh-CN.md"
    assert code_blocks(english) == code_blocks(chinese)
    assert code_blocks(english)


def modules() -> list[str]:
    root = Path(__file__).parents[1]
    names = []
    for package, folder in (("mmbackbones", "plugin"), ("mmbackbones.necks", "necks")):
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            if ">>>" in path.read_text(encoding="utf-8"):
                names.append(".".join(part for part in (package, *parts) if part != "__init__"))
    return names


@pytest.mark.parametrize("module", modules())
def test_docstring_examples(module: str) -> None:
    names = {"torch": torch}  # examples need not say `import torch`
    done = doctest.testmod(importlib.import_module(module), extraglobs=names)
    assert done.attempted
    assert not done.failed


def test_library_code_never_prints_nor_asserts(root: Path) -> None:
    for folder in ("plugin", "necks"):
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}: raise InputError instead"
                called = getattr(getattr(node, "func", None), "id", None)
                assert called != "print", f"{path}:{getattr(node, 'lineno', 0)}"
