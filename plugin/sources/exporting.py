"""What the installed torch can say and do of an export: that changed between the versions that we take."""

from __future__ import annotations

import inspect

import torch

from ..errors import InputError


def is_recorded_without_dynamo() -> bool:
    """Whether a graph is made of this run, and not by dynamo: by an export that is not strict, the only such.

    In a strict export it is False, as torch before 2.7 does not tell one from ``torch.compile``.
    """
    return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()


#: Whether ``torch.export``, or the ONNX exporter over it, records this run. torch says so from 2.7 on.
is_exporting = getattr(torch.compiler, "is_exporting", is_recorded_without_dynamo)


def need_onnx_exporter() -> None:
    """Raises InputError where torch has not the ONNX exporter that takes names and shapes: before 2.5."""
    if "dynamic_shapes" not in inspect.signature(torch.onnx.export).parameters:
        raise InputError(
            f"ONNX files are written with torch 2.5 or newer, and this is {torch.__version__}. Update torch: "
            f"pip install -U torch torchvision"
        )
