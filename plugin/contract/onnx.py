"""The point of the contract that needs the extra ``export``."""

from __future__ import annotations

import io
from typing import Any

import torch

from ..errors import InputError, need
from ..sources.exporting import need_onnx_exporter
from .point import FailsError, LeaveOutError, Subject, differs

_CHANGE = (
    "Let forward do the same for every image: no `if` and no Python number that depends on values "
    "(float(x), x.item(), counters), no code outside torch."
)


def onnx(subject: Subject) -> str:
    """The network as an ONNX file gives the same maps."""
    try:
        need("onnx", "onnxscript", "onnxruntime")
        need_onnx_exporter()
    except InputError as error:
        raise LeaveOutError(str(error)) from error
    import onnxruntime

    x, file = subject.image(), io.BytesIO()
    try:
        program: Any = torch.onnx.export(subject.net, (x,), dynamo=True, verbose=False)
    except Exception as error:  # the network's own code, which may stop it in any way
        said = str(error.__cause__ or error).strip().partition("\n")[0]
        raise FailsError(f"it cannot be exported: {said}", _CHANGE) from error
    program.save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        maps = subject.net(x)
    other = [
        stride
        for stride, ours, theirs in zip(subject.net.out_strides, outputs, maps, strict=True)
        if differs(torch.from_numpy(ours), theirs, 1e-3)
    ]
    if other:
        raise FailsError(f"maps of stride {other} have other values in ONNX", _CHANGE)
    return "exported, with the same maps in onnxruntime"
