"""Latency as an ONNX file, in floating point and in 8 bits, for nets that can be exported."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config

from ..errors import InputError

RUNS = 100
CALIBRATION = 16  # training images


def onnx_latency(cfg: Config, checkpoint: Path) -> dict[str, Any]:
    """Milliseconds for one image of the model in onnxruntime on this machine's CPU, both files in turn.

    Returns:
        ``ms``, ``int8_ms``, and ``mb`` and ``int8_mb`` of the files; or ``reason`` where it does not export.
    """
    from ..export.export import export
    from ..export.export import measure as measure_files

    with TemporaryDirectory() as folder:
        try:
            files = export(cfg, checkpoint, Path(folder) / "model.onnx", int8=CALIBRATION)
        except InputError as error:  # a model that has no such form, or a package is missing
            return {"reason": str(error)}
        found = measure_files(cfg, checkpoint, files, accuracy=False, runs=RUNS)
    names = {"onnx": "", "int8": "int8_"}
    return {
        f"{names[what]}{unit.lower()}": round(value, 3)
        for what, figures in found.items()
        for unit, value in figures.items()
    }
