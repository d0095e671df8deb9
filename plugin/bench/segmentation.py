"""``python -m mmbackbones.bench.segmentation``: frames per second of the real-time segmentors.

Timed is one image at a time, from the normalised image ``(1, 3, H, W)``, which lies on the device
already, to the label of every pixel ``(1, H, W)``: backbone, decode head, logits brought to the image's
size, argmax. Reading, resizing and normalising the image are not in it; auxiliary heads do not run.

In torch, nets with a backbone of this package have the memory format and the folded norms that its
commands give them; mmseg's run as its tools run them. The nets take turns on each backend (a turn runs
each once), and the median of the turns counts, so that a busy moment of the machine hits all of them;
``--busy`` takes one thread and its processor time, which other work changes least. ``--int8`` adds the
ONNX file in 8 bits, as `mmbackbones export --int8` makes it. Weights are random: they do not change the time.
"""

from __future__ import annotations

import copy
import re
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from ..backbone import Backbone
from ..engine.layout import fold_norms, use_faster_format
from ..engine.timing import in_turn, print_table
from ..errors import InputError
from .machine import devices, machine, write_figures

OURS = tuple(
    f"segmentation/{name}"
    for name in (
        "bisenet_mobilenetv2_4xb4-160k_cityscapes-1024x1024",
        "bisenet_shufflenetv2_4xb4-160k_cityscapes-1024x1024",
        "bisenet_resnet18_4xb4-160k_cityscapes-1024x1024",
        "swiftnet_mobilenetv2_1xb14-40k_cityscapes-768x768",
        "swiftnet_shufflenetv2_1xb14-40k_cityscapes-768x768",
        "swiftnet_resnet18_1xb14-40k_cityscapes-768x768",
        "swiftnet-s8_shufflenetv2_1xb14-40k_cityscapes-768x768",
    )
)
THEIRS = (
    "mmseg::bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024",
    "mmseg::fast_scnn_8xb4-160k_cityscapes-512x1024",
    "mmseg::pidnet-s_2xb6-120k_1024x1024-cityscapes",
)
Call = Callable[[], Any]


class LabelMap(nn.Module):
    """A segmentor of mmseg from normalised images ``(N, C, H, W)`` to labels ``(N, H, W)``."""

    def __init__(self, segmentor: Any) -> None:
        super().__init__()
        self.segmentor = segmentor

    def logits(self, image: Tensor) -> Tensor:
        """Logits ``(N, classes, H, W)`` of the image's size."""
        meta = dict.fromkeys(("img_shape", "pad_shape", "ori_shape"), image.shape[2:])
        return self.segmentor.encode_decode(image, [meta] * len(image))

    def forward(self, image: Tensor) -> Tensor:
        return self.logits(image).argmax(dim=1)


def label_map(name: str) -> LabelMap:
    """The segmentor of a config in eval mode, with random weights.

    Raises:
        InputError: there is no such config, or it is not one of a segmentor.
    """
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS, init_default_scope

    from ..compose.configs import load_config, task_of

    cfg = load_config(name)
    if task_of(cfg) != "segmentation":
        raise InputError(f"{name} is for detection; take a config of a segmentor, as {OURS[0]}.")
    init_default_scope(cfg.default_scope)
    return LabelMap(revert_sync_batchnorm(MODELS.build(cfg.model))).eval()


def costs(net: LabelMap, size: tuple[int, int]) -> list[str]:
    """Millions of parameters that the labels depend on, and billions of multiply-adds of one image."""
    from ..tracing.cost import cost

    copied = copy.deepcopy(net)
    copied.logits(torch.rand(1, 3, 64, 64)).sum().backward()
    used = sum(value.numel() for value in copied.parameters() if value.grad is not None)
    return [f"{used / 1e6:.2f}", f"{cost(copied, 3, size).madds / 1e9:.3g}"]


def torch_call(net: LabelMap, image: Tensor, device: str = "cpu", amp: bool = False) -> Call:
    """One run of the net by torch, in half precision with ``amp``; one of ours as the commands run it."""
    net, image = copy.deepcopy(net).to(device), image.to(device)
    if any(isinstance(part, Backbone) for part in net.modules()):
        use_faster_format(net, device)
        fold_norms(net)

    def call() -> Tensor:
        with torch.inference_mode(), torch.autocast(device, torch.float16, enabled=amp):
            labels: Tensor = net(image)
        return labels

    return call


def onnxruntime_call(net: LabelMap, image: Tensor, int8: bool = False) -> Call:
    """One run of the net's ONNX file, made for the image's size, with as many threads as torch has."""
    import onnxruntime

    from ..export.onnx_file import INPUT, quantise
    from ..sources.exporting import need_onnx_exporter

    need_onnx_exporter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with TemporaryDirectory() as folder, torch.no_grad():
        path, small = Path(folder) / "net.onnx", Path(folder) / "int8.onnx"
        more: dict[str, Any] = dict(input_names=[INPUT], external_data=False, dynamo=True, verbose=False)
        torch.onnx.export(net, (image,), str(path), **more)
        if int8:
            quantise(path, small, [image])
        file = str(small if int8 else path)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {INPUT: image.numpy()})[0]


def backends(types: Sequence[str], int8: bool = False) -> dict[str, Callable[[LabelMap, Tensor], Call]]:
    """What the nets run on, of some types of device: column of the table -> what makes a run of a net."""
    found: dict[str, Callable[[LabelMap, Tensor], Call]] = {}
    if "cpu" in types:
        found |= {"CPU torch": torch_call, "CPU onnxruntime": onnxruntime_call}
        if int8:
            found["CPU onnxruntime, INT8"] = partial(onnxruntime_call, int8=True)
    if "cuda" in types:
        torch.backends.cudnn.benchmark = True
        found["GPU torch"] = lambda net, image: torch_call(net, image, "cuda")
        found["GPU torch, fp16"] = lambda net, image: torch_call(net, image, "cuda", amp=True)
    return found


def rows(
    names: Sequence[str],
    size: tuple[int, int],
    turns: int,
    busy: bool = False,
    types: Sequence[str] = ("cpu",),
    int8: bool = False,
) -> list[list[str]]:
    """For each config: its name, the :func:`costs`, and frames per second on each of :func:`backends`.

    Args:
        names: configs of segmentors.
        size: height and width of the image in pixels.
        turns: measured runs of each net on each backend.
        busy: on the CPU count this process's processor time.
        types: of devices.
        int8: also the ONNX files in 8 bits.
    """
    nets = {name: label_map(name) for name in names}
    image = torch.randn(1, 3, *size)
    table = [[short_name(name), *costs(net, size)] for name, net in nets.items()]
    for column, make in backends(types, int8).items():
        clock = time.process_time if busy and column.startswith("CPU") else time.perf_counter
        seconds = in_turn({name: make(net, image) for name, net in nets.items()}, turns, clock)
        for row, found in zip(table, seconds.values(), strict=True):
            row.append(f"{1 / median(found):.3g}")
    return table


def short_name(name: str) -> str:
    """What stands in a config's name before GPUs, schedule and data set."""
    return re.split(r"_\d+xb", Path(name.rpartition("::")[2]).stem)[0]


def main(
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Image size in pixels.")] = "1280x720",
    quick: Annotated[bool, typer.Option("--quick", help="Few turns on a small image.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads on the CPU; default: torch's.")] = None,
    turns: Annotated[int, typer.Option(help="Measured runs of each net.")] = 15,
    busy: Annotated[
        bool, typer.Option("--busy", help="Other work on the machine: one thread, its processor time.")
    ] = False,
    net: Annotated[list[str] | None, typer.Option(help="Configs of segmentors to compare.")] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also their ONNX files in 8 bits, on the CPU.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: all that are here.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
) -> None:
    """Print frames per second of the real-time segmentors, next to those of mmseg. No pass or fail.

    Example: python -m mmbackbones.bench.segmentation --threads 2
    """
    from ..compose.scale import parse_scale

    warnings.simplefilter("ignore")  # of mmengine and mmseg, about their own old spellings
    if quick:
        size, turns = "256x128", min(turns, 3)
    threads = 1 if busy else threads
    if threads:
        torch.set_num_threads(threads)
    types = devices(device)
    try:
        wide, high = parse_scale(size, "--size")
        table = rows(net or (*OURS, *THEIRS), (high, wide), turns, busy, types, int8)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    head = ["net", "params, M", "GMACs", *(f"{name}, FPS" for name in backends(types, int8))]
    title = f"Image to labels, one image of {wide}x{high}: {machine()}"
    print_table(title + (", processor time" if busy else ""), head, table)
    write_figures(out, [dict(zip(head, row, strict=True)) for row in table], size=size, turns=turns)


if __name__ == "__main__":
    typer.run(main)
