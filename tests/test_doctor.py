"""``mmbackbones doctor`` on stacks that are whole and broken: folders of packages with what it looks at."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from mmbackbones.cli import main
from mmbackbones.doctor.diagnosis import NAME, WHOLE_TORCH, requirements
from mmbackbones.doctor.lines import LINES
from mmbackbones.engine import compiling

STDLIB = [sysconfig.get_path("stdlib"), str(Path(sysconfig.get_path("platstdlib")) / "lib-dynload")]
OWN = metadata.requires(NAME) or []
TORCH = """
import types
version = types.SimpleNamespace(cuda="12.1")
cuda = types.SimpleNamespace(
    is_available=lambda: True, device_count=lambda: 1, get_device_name=lambda index: "A Card"
)
def get_num_threads(): return 3
"""
#: Module -> the text of its files, as far as the real ones matter here.
PACKAGES = {
    "torch": {"__init__": TORCH},
    "torchvision": {"__init__": "import torch"},
    "timm": {"__init__": "import torchvision"},
    "mmengine": {"__init__": "", "runner": "import torch, pkg_resources"},
    "mmcv": {
        "__init__": "from .version import version",
        "version": "version = '2.1.0'",
        "ops": "import mmcv._ext",
    },
    "mmdet": {
        "__init__": "import mmengine, mmcv\nassert mmcv.version < '2.2', mmcv.version",
        "models": "import mmcv.ops",
    },
    "mmseg": {"__init__": "import mmdet", "models": "import ftfy"},
    "pkg_resources": {"__init__": ""},
    "ftfy": {"__init__": ""},
}


class Stack:
    """A folder on Python's path with the released line in it, and how it is put out of order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for extra in ("", LINES[0].extra, "export", "leaderboard"):
            for one in requirements(extra):
                (lowest,) = (bound.version for bound in one.specifier if bound.operator in (">=", "=="))
                self.install(one.name, lowest)  # those here may be the other line's
        self.install("torch", "2.9.1")
        self.install(NAME, "9.9", "".join(f"Requires-Dist: {text}\n" for text in OWN))
        for name, files in PACKAGES.items():
            for file, text in files.items():
                self.write(f"{name}/{file}.py", text)

    def write(self, file: str, text: str) -> None:
        path = self.folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def install(self, name: str, version: str, more: str = "") -> None:
        self.remove(name)
        stem = name.replace("-", "_")
        self.write(f"{stem}-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}\n{more}")

    def remove(self, name: str) -> None:
        for path in self.folder.glob(f"{name.replace('-', '_')}-*.dist-info/METADATA"):
            path.unlink()
            path.parent.rmdir()

    def replace(self, name: str, version: str, other: str) -> None:
        self.remove(name)
        self.install(other, version)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stack:
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])  # imports what is imported late, which the other path has not
    assert "mmbackbones doctor" in capsys.readouterr().out
    made = Stack(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *STDLIB])
    return made


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Callable[[int], list[str]]:
    """What the command shows, line by line, if it ends with this status."""

    def run(status: int) -> list[str]:
        with pytest.raises(SystemExit) as end:
            main(["doctor"])
        shown = capsys.readouterr()
        assert end.value.code == status, shown.out
        assert shown.err == ""
        return shown.out.splitlines()

    return run


def test_a_whole_stack(stack: Stack, doctor: Callable[[int], list[str]]) -> None:
    shown = doctor(0)
    assert shown[-1] == "Nothing is broken."
    rows = dict(line.split(maxsplit=1) for line in shown[:-1])
    assert rows[NAME] == "9.9"
    assert rows["Python"] == sys.version.split()[0]
    assert rows["torch"] == "2.9.1"
    assert rows["devices"] == "CUDA 12.1: A Card"
    assert rows["OpenMMLab"] == (
        "released: mmengine 0.10.7, mmdet 3.3.0, mmsegmentation 1.2.2, mmcv-lite 2.1.0"
    )
    assert rows["operators"] == "ours, by torch and torchvision"
    assert rows["[export]"].startswith("onnx ")
    stack.replace("mmcv-lite", "2.1.0", "mmcv")
    stack.write("mmcv/_ext.py", "")
    assert "operators     compiled, mmcv's own" in doctor(0)


def too_new_mmcv(stack: Stack) -> None:
    stack.install("mmcv-lite", "2.2.0")
    stack.write("mmcv/version.py", "version = '2.2.0'")


def old_torch(stack: Stack) -> None:
    stack.install("torch", "2.3.1")


def both_lines(stack: Stack) -> None:
    stack.install("onedl-mmengine", "0.10.12")
    stack.install("onedl-mmdetection", "3.5.1")


def engine_over_the_continuation(stack: Stack) -> None:
    """What pip leaves after the extra onedl: this package and mmcv-lite ask for a distribution mmengine."""
    stack.replace("mmdet", "3.5.1", "onedl-mmdetection")
    stack.replace("mmsegmentation", "1.4.2", "onedl-mmsegmentation")
    stack.install("onedl-mmengine", "0.10.12")


def two_mmcv(stack: Stack) -> None:
    stack.install("mmcv", "2.1.0")


def new_setuptools(stack: Stack) -> None:
    stack.install("setuptools", "82.0.0")
    (stack.folder / "pkg_resources" / "__init__.py").unlink()
    (stack.folder / "pkg_resources").rmdir()


def no_mmcv(stack: Stack) -> None:
    stack.remove("mmcv-lite")
    (stack.folder / "mmcv").rename(stack.folder / "elsewhere")


def torchvision_of_another_torch(stack: Stack) -> None:
    stack.write("torchvision/__init__.py", "raise RuntimeError('operator torchvision::nms does not exist')")


def a_crash(stack: Stack) -> None:
    stack.write(
        "mmcv/ops.py", "import os, sys\nsys.stderr.write('undefined symbol')\nsys.stderr.flush()\nos._exit(7)"
    )


def undeclared(stack: Stack) -> None:
    stack.remove("ftfy")
    (stack.folder / "ftfy" / "__init__.py").unlink()
    (stack.folder / "ftfy").rmdir()


LITE = "pip install mmcv-lite==2.1.0"
BROKEN = [
    (too_new_mmcv, "mmcv-lite 2.2.0 does not fit: mmdet 3.3.0 and mmsegmentation 1.2.2 want mmcv", LITE),
    (
        old_torch,
        "torch 2.3.1 does not fit; mmbackbones needs torch>=2.4",
        "pip install 'torch>=2.4' torchvision",
    ),
    (
        both_lines,
        "Both lines of OpenMMLab are installed: onedl-mmengine, onedl-mmdetection of the onedl continuation",
        "pip uninstall -y onedl-mmengine onedl-mmdetection && pip install --force-reinstall --no-deps "
        "mmengine==0.10.7 mmdet==3.3.0",
    ),
    (
        engine_over_the_continuation,
        "mmengine and onedl-mmengine install the same folder",
        "pip uninstall -y mmengine && pip install --force-reinstall --no-deps onedl-mmengine==0.10.12",
    ),
    (
        two_mmcv,
        "mmcv-lite 2.1.0 and mmcv 2.1.0 install the same folder mmcv",
        f"pip uninstall -y mmcv-lite mmcv && {LITE}  (or, to build the compiled one, mmcv==2.1.0)",
    ),
    (
        new_setuptools,
        "setuptools 82.0.0 does not fit; mmbackbones needs setuptools<81,>=66: mmengine imports pkg_res",
        "pip install 'setuptools<81,>=66'",
    ),
    (no_mmcv, "mmdet 3.3.0 and mmsegmentation 1.2.2 need mmcv, which is not installed.", LITE),
    (
        torchvision_of_another_torch,
        "torchvision, timm cannot be imported: RuntimeError: operator torchvision::nms does not exist",
        "pip install --force-reinstall torch torchvision",
    ),
    (
        a_crash,
        "mmcv.ops cannot be imported: ends Python with status 7: undefined symbol",
        "pip install --force-reinstall --no-deps mmcv",
    ),
    (
        undeclared,
        "mmseg.models cannot be imported: ModuleNotFoundError: No module named 'ftfy'",
        "pip install 'mmbackbones[mm]'",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "text", "command"), BROKEN, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_fault_is_named_with_the_command_that_mends_it(
    spoil: Callable[[Stack], None],
    text: str,
    command: str,
    stack: Stack,
    doctor: Callable[[int], list[str]],
) -> None:
    spoil(stack)
    shown = doctor(1)
    (place,) = (index for index, line in enumerate(shown) if text in line)
    assert shown[place + 1] == f"  To mend: {command}"
    assert shown[-1].endswith(("thing is broken.", "things are broken."))


def test_what_is_only_not_there_is_no_fault(stack: Stack, doctor: Callable[[int], list[str]]) -> None:
    for name in ("onnxscript", "scipy"):
        stack.remove(name)
    stack.install("ftfy", "5.0")
    shown = doctor(0)
    place = shown.index("Not installed, of the extra export: onnxscript.")
    assert shown[place + 1] == "  To add: pip install 'mmbackbones[export]'"
    assert "  To add: pip install 'mmbackbones[leaderboard]'" in shown
    assert any(
        line.startswith("ftfy 5.0 is not what was tried: the extra mm asks for ftfy>=6") for line in shown
    )
    assert shown[-1] == "Nothing is broken."


def test_what_a_torch_leaves_out_is_said(stack: Stack, doctor: Callable[[int], list[str]]) -> None:
    stack.install("torch", "2.4.1")
    said = "torch 2.4.1 writes no ONNX files and leaves compile=True out: that takes torch>=2.5."
    shown = doctor(0)
    assert shown[shown.index(said) + 1] == "  To add: pip install 'torch>=2.5' torchvision"
    assert f">={compiling.OLDEST}" == str(WHOLE_TORCH)


def test_the_continuation_alone_is_whole(stack: Stack, doctor: Callable[[int], list[str]]) -> None:
    """Without setuptools: its mmengine does not import pkg_resources."""
    engine_over_the_continuation(stack)
    too_new_mmcv(stack)
    stack.remove("mmengine")
    new_setuptools(stack)
    stack.write("mmengine/runner.py", "import torch")
    stack.write("mmdet/__init__.py", "import mmengine, mmcv")
    assert any(
        line.startswith("OpenMMLab     onedl continuation: onedl-mmengine 0.10.12,") for line in doctor(0)
    )
