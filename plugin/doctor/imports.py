"""Imports tried in a process of their own, so that whatever one does, even ending the process, is only noted.

This module is what runs there; it imports nothing but Python's own.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: What is imported, in this order: of each package what needs the others.
MODULES = ("torch", "torchvision", "timm", "mmengine.runner", "mmcv.ops", "mmdet.models", "mmseg.models")
#: The error of an import that has begun and not ended.
_BEGUN = "..."
_CODE = "import sys; sys.path.pop(0); from mmbackbones.doctor.imports import child; child()"


@dataclass
class Trial:
    """What came of one import.

    Attributes:
        module: Its name.
        state: 'there', 'absent', or 'fails'.
        error: Why it fails, in one line.
        lacks: The module that it did not find, if that was it.
        facts: What it tells of itself: version, devices, operators.
    """

    module: str
    state: str = "fails"
    error: str = ""
    lacks: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def try_imports(path: Sequence[str]) -> list[Trial]:
    """Import :data:`MODULES` one after the other with ``path`` as Python's search path."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trials"
        words = [sys.executable, "-c", _CODE, str(file), json.dumps(list(path))]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    trials = {trial.module: trial for trial in (Trial(**json.loads(line)) for line in lines)}
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [""])[-1]
        last = [trial for trial in trials.values() if trial.error == _BEGUN] or [Trial("mmbackbones")]
        last[-1].error = f"ends Python with status {done.returncode}{': ' * bool(said)}{said}"
        trials[last[-1].module] = last[-1]
    return list(trials.values())


def child() -> None:
    """Write a line for each import before it is tried, which is what remains of one that ends the process."""
    file, sys.path[:] = Path(sys.argv[1]), json.loads(sys.argv[2])
    with file.open("w", encoding="utf-8") as stream:
        for name in MODULES:
            for step in (lambda name: Trial(name, error=_BEGUN), _try):
                stream.write(json.dumps(vars(step(name))) + "\n")
                stream.flush()


def _try(name: str) -> Trial:
    package = name.partition(".")[0]
    try:
        if find_spec(package) is None:
            return Trial(name, "absent")
        importlib.import_module(name)
        return Trial(name, "there", facts=_facts(package))
    except (Exception, SystemExit) as error:  # a broken package raises whatever it likes
        lines = str(error).strip().splitlines() or [""]
        lacks = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
        return Trial(name, error=f"{type(error).__name__}: {lines[0]}", lacks=lacks)


def _facts(package: str) -> dict[str, Any]:
    module = sys.modules[package]
    if package == "torch":
        cuda = module.cuda
        count = cuda.device_count() if cuda.is_available() else 0
        return {
            "threads": module.get_num_threads(),
            "cuda": module.version.cuda,
            "devices": [cuda.get_device_name(index) for index in range(count)],
        }
    if package == "mmcv":
        spec = sys.modules["mmcv._ext"].__spec__ if "mmcv._ext" in sys.modules else None
        compiled = spec is not None and spec.origin is not None
        return {"operators": "compiled" if compiled else "ours"}
    return {}
