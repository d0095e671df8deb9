"""Writing ONNX files, and 8-bit forms of them."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, need
from ..sources.exporting import need_onnx_exporter, padding_in_whole_numbers
from .graph import ExportNet

INPUT, SIDES = "image", "sides"
#: The smallest and largest side of a file with free image size, pixels.
_SIDES = (64, 8192)
#: The side that such a file is recorded with: no map, up to stride 512, has one row only, which the exporter
#: would take for a row that is repeated.
_RECORDED = 1024
# A setting of torch that is not documented.
OBLIVIOUS = "backed_size_oblivious"


def write_onnx(
    net: ExportNet, path: Path, size: tuple[int, int], *, classes: Iterable[str] = (), dynamic: bool = False
) -> None:
    """Write ``net`` for one image of ``size`` (height, width), or of any size.

    The file's metadata has the classes, the value to pad images with, and what sides are multiples of.

    Raises:
        InputError: onnx is not installed, or torch is too old, for ``dynamic`` or at all.
    """
    need("onnx", "onnxscript")
    need_onnx_exporter()
    import onnx

    shapes: Any = None
    free: Any = nullcontext()
    if dynamic:
        size = (_RECORDED, _RECORDED)
        shapes = ({2: _free(net.multiple, "height"), 3: _free(net.multiple, "width")}, None)
        shapes = shapes[: len(net.inputs)]
        free = _no_thought_of_one()
    with torch.no_grad(), warnings.catch_warnings(), free, padding_in_whole_numbers():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own parts
        program = torch.onnx.export(
            net.eval(),
            (torch.rand(1, net.channels, *size) * 255, torch.tensor(size, dtype=torch.float32))[
                : len(net.inputs)
            ],
            input_names=list(net.inputs),
            output_names=list(net.outputs),
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto  # type: ignore[union-attr]
    facts = {"classes": list(classes), "pad_value": net.pad_value(), "multiple": net.multiple}
    onnx.helper.set_model_props(
        model, {"made_by": "mmbackbones", **{key: json.dumps(value) for key, value in facts.items()}}
    )
    onnx.save(model, str(path))


def _no_thought_of_one() -> AbstractContextManager[Any]:
    """Maps of small images have sides of 1: the exporter must not hold it against them that here none has.

    Raises:
        InputError: this torch has no such setting.
    """
    from torch.fx.experimental import _config as symbolic

    if not hasattr(symbolic, OBLIVIOUS):
        raise InputError(
            f"--dynamic needs a newer torch than {torch.__version__}. Update torch, or leave --dynamic out."
        )
    setting: AbstractContextManager[Any] = symbolic.patch(**{OBLIVIOUS: True})  # type: ignore[attr-defined]
    return setting


def _free(multiple: int, name: str) -> Any:
    """Any side of ``_SIDES``, or any such multiple of ``multiple``."""
    low, high = (-(-side // multiple) for side in _SIDES)
    side = torch.export.Dim(name, min=low, max=high)
    return side if multiple == 1 else multiple * side


def quantise(path: Path, out: Path, images: Iterable[Tensor]) -> None:
    """Write ``path`` with weights and maps in 8 bits, ranges taken from ``images`` (1, C, H, W).

    What follows the last convolution (decoding boxes, resizing logits) stays in floating point. The
    settings were tried out on two detectors; see "INT8" in ``docs/results.md``.

    Raises:
        InputError: onnxruntime is not installed, or there are no images.
    """
    need("onnx", "onnxruntime")
    import onnx
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    asked = len(onnx.load(str(path)).graph.input) > 1

    def sides(image: Tensor) -> dict[str, Any]:
        return {SIDES: np.array(image.shape[2:], np.float32)} if asked else {}

    class Reader(q.CalibrationDataReader):
        def __init__(self) -> None:
            self.images: Iterator[Tensor] = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.images, None)
            return None if image is None else {INPUT: image.numpy()} | sides(image)

    with TemporaryDirectory() as folder, _without_notes():
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
        q.quantize_static(
            str(ready),
            str(out),
            Reader(),
            quant_format=q.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=False,  # 7-bit weights are for CPUs without VNNI; with SE they cost 0.008 of mAP
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            nodes_to_exclude=_behind_convolutions(onnx.load(str(ready)).graph),
        )


@contextmanager
def _without_notes() -> Iterator[None]:
    """Drop what onnxruntime notes on the root logger of each norm without a convolution before it: that its
    weights are a vector, of which it takes one range."""

    def others(record: logging.LogRecord) -> bool:
        return "out-of-range for weight" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(others)
    try:
        yield
    finally:
        root.removeFilter(others)


def _behind_convolutions(graph: Any) -> list[str]:
    """Names of the nodes that no convolution reads from, save those that work on boxes that were chosen."""
    makers = {output: node for node in graph.node for output in node.output}
    chosen: set[str] = set()
    for node in graph.node:  # in order of execution
        if node.op_type == "NonMaxSuppression" or chosen & set(node.input):
            chosen |= set(node.output)
    convolutions = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    todo = [node for node in convolutions if not chosen & set(node.input)]
    read: set[str] = set()
    while todo:
        node = todo.pop()
        if node.name not in read:
            read.add(node.name)
            todo += [makers[name] for name in node.input if name in makers]
    return [node.name for node in graph.node if node.name not in read]
