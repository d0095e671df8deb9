"""OpenVINO's files of an ONNX file: weights in 16 bits, and whole in 8 bits by NNCF."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import need
from .onnx_file import INPUT, SIDES

_ROOM = "mmbackbones"  # of the facts in the file


def write_openvino(path: Path, out: Path, images: Iterable[Tensor] | None = None) -> None:
    """Write ``path`` as OpenVINO's ``out`` (.xml, with the weights in .bin beside it), facts included.

    Args:
        path: A file of :func:`.onnx_file.write_onnx`.
        out: The file to write.
        images: Quantise to 8 bits by NNCF, with ranges from these ``(1, C, H, W)``; else weights have 16.

    Raises:
        InputError: openvino, or for 8 bits nncf, is not installed.
    """
    need("onnx", "openvino", *["nncf"] * (images is not None))
    import onnx
    import openvino

    model = openvino.convert_model(str(path))
    if images is not None:
        import nncf

        sides = len(model.inputs) > 1

        def given(image: Tensor) -> dict[str, np.ndarray]:
            more = {SIDES: np.array(image.shape[2:], np.float32)} if sides else {}
            return {INPUT: image.numpy(), **more}

        seen = list(images)  # NNCF goes over them several times
        # Weights symmetric, maps not: for hard-swish and its like, as NNCF's documentation advises.
        preset = nncf.QuantizationPreset.MIXED
        model = nncf.quantize(model, nncf.Dataset(seen, given), preset=preset, subset_size=len(seen))
    for row in onnx.load(str(path), load_external_data=False).metadata_props:
        model.set_rt_info(row.value, [_ROOM, row.key])
    openvino.save_model(model, str(out), compress_to_fp16=True)


class OpenVinoSession:
    """A file of :func:`write_openvino` on the CPU, with torch's number of threads.

    Attributes: as of :class:`.session.OnnxSession`.
    """

    def __init__(self, path: Path) -> None:
        need("openvino")
        import openvino

        core = openvino.Core()
        model = core.read_model(str(path))
        names = ("made_by", "pad_value", "multiple")
        known = [name for name in names if model.has_rt_info([_ROOM, name])]
        self.facts = {name: model.get_rt_info([_ROOM, name]).astype(str) for name in known}
        self.shape: list[Any] = [
            side.get_length() if side.is_static else None for side in model.inputs[0].partial_shape
        ]
        self.inputs = len(model.inputs)
        threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self._run = core.compile_model(model, "CPU", threads)

    def __call__(self, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = self._run(given)
        return [np.array(found[output]) for output in self._run.outputs]
