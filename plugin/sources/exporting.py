"""What the installed torch can say and do of an export: that changed between the versions that we take."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def padding_in_whole_numbers() -> Iterator[None]:
    """Let timm compute TensorFlow's SAME padding in a way that an export of any size can simplify.

    timm rounds a quotient up and cuts the sum off at 0. torch keeps both as they are in the size of the next
    map, and of the one behind it, and after twenty layers thinks for minutes about each further one. From
    whole numbers all but the division cancels out: a map has ``(side - 1) // stride + 1`` rows.
    """
    from timm.layers import padding

    of_timm = padding.get_same_padding

    def same_padding(x: int, kernel_size: int, stride: int, dilation: int) -> int:
        reach = (kernel_size - 1) * dilation + 1
        if reach < stride or isinstance(x, torch.Tensor):  # then the sum may be below 0
            return of_timm(x, kernel_size, stride, dilation)
        return (x - 1) // stride * stride + reach - x

    padding.get_same_padding = same_padding
    try:
        yield
    finally:
        padding.get_same_padding = of_timm
