"""``python -m mmbackbones.bench.overhead``: what the package costs, and what its operators save.

Times are medians of interleaved runs, so that a busy moment of the machine hits both sides.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from ..engine.timing import print_table, side_by_side

if TYPE_CHECKING:
    from torch import Tensor, nn

NETS = ("resnet50", "mobilenetv3_large_100", "swin_tiny_patch4_window7_224", "shufflenet_v2_x1_0")
# torchvision net -> the nodes of its graph that end at strides 4 to 32
_NODES = {"shufflenet_v2_x1_0": ("maxpool", "stage2", "stage3", "stage4")}
# arguments that let a bare timm net take other sizes than its own
_FREE_SIZE = {"swin_tiny_patch4_window7_224": {"dynamic_img_size": True}}
_OTHERS = ("timm", "torchvision", "mmdet", "mmseg", "mmcv")


# Run one after the other in a fresh process; each is timed by itself.
_STATEMENTS = ("import torch, mmengine", "import mmbackbones", "mmbackbones.list_backbones()")
_CHILD = """
import json, sys, time
rows = []
for statement in {statements}:
    start = time.perf_counter()
    exec(statement)
    seconds = time.perf_counter() - start
    rows.append([seconds, [name for name in {others} if name in sys.modules]])
print(json.dumps(rows))
"""


def import_rows(runs: int) -> list[list[str]]:
    """Milliseconds that each statement adds in a fresh process, and which heavy packages are loaded then.

    torch imports ``mmbackbones`` by itself, through an entry point. That is switched off here, else
    the first statement would pay for the second.
    """
    code = _CHILD.format(statements=_STATEMENTS, others=_OTHERS)
    env = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    found = []
    for _ in range(runs):
        child = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
        found.append(json.loads(child.stdout.splitlines()[-1]))
    return [
        [statement, f"{1e3 * median(run[i][0] for run in found):.1f}", ", ".join(found[-1][i][1]) or "none"]
        for i, statement in enumerate(_STATEMENTS)
    ]


def bare_net(name: str) -> nn.Module:
    """The upstream's own feature net for a catalog name, maps of strides 4 to 32, random weights."""
    from ..catalog.spec import PYRAMID
    from ..feature_nets.specs import get_spec

    spec = get_spec(name)
    if spec.source == "timm":
        import timm

        args = _FREE_SIZE.get(name, {})
        reductions = timm.create_model(spec.upstream, features_only=True).feature_info.reduction()
        indices = [i for i, reduction in enumerate(reductions) if reduction in PYRAMID]
        return timm.create_model(spec.upstream, features_only=True, out_indices=indices, **args)
    from torchvision import models
    from torchvision.models.feature_extraction import create_feature_extractor

    return create_feature_extractor(models.get_model(spec.upstream, weights=None), list(_NODES[name]))


def our_net(name: str) -> nn.Module:
    """The same network through mmbackbones."""
    from ..backbone import build

    return build(name)


def forward(net: nn.Module, image: Tensor) -> None:
    """One forward pass without gradients."""
    import torch

    with torch.no_grad():
        net.eval()(image)


def training_step(net: nn.Module, image: Tensor) -> None:
    """One forward and backward pass through all maps."""
    import torch

    net.train().zero_grad()
    maps = net(image)
    maps = maps.values() if isinstance(maps, dict) else maps
    torch.stack([m.square().mean() for m in maps]).sum().backward()


def peak_memory(name: str, size: int, batch: int) -> tuple[float, float]:
    """MiB that building a net and two training steps add to the peak of a process: of the bare net, of ours.

    Args:
        name: a catalog name.
        size: height and width of the images in pixels.
        batch: images per step.
    """
    code = f"from mmbackbones.bench import overhead; overhead._print_peaks('{name}', {size}, {batch})"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    bare, ours = map(float, child.stdout.splitlines()[-2:])
    return bare, ours


def _print_peaks(name: str, size: int, batch: int) -> None:
    """One process imports what both sides need, so that only the nets differ; each has a fork of it."""
    import timm  # noqa: F401
    import torchvision.models.feature_extraction  # noqa: F401

    from .. import backbone  # noqa: F401

    forks = multiprocessing.get_context("fork")
    for maker in (bare_net, our_net):
        process = forks.Process(target=_print_peak, args=(maker, name, size, batch))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)


def _print_peak(maker: Callable[[str], nn.Module], name: str, size: int, batch: int) -> None:
    import torch

    before = _peak_kib()
    net = maker(name)
    for _ in range(2):
        training_step(net, torch.rand(batch, 3, size, size))
    typer.echo((_peak_kib() - before) / 1024)


def _peak_kib() -> int:
    """Peak of resident memory; getrusage would count the parent's, handed down by Linux; psutil has none."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def wrapper_rows(names: Sequence[str], size: int, batch: int, runs: int) -> list[list[str]]:
    """Milliseconds and MiB of each bare net against the same net through mmbackbones."""
    import torch

    image = torch.rand(batch, 3, size, size)
    rows = []
    for name in names:
        bare, ours = bare_net(name), our_net(name)
        for what, step in (("forward", forward), ("training step", training_step)):
            a, b, ratio = side_by_side(partial(step, bare, image), partial(step, ours, image), runs)
            rows.append([name, f"{what}, ms", f"{a * 1e3:.1f}", f"{b * 1e3:.1f}", f"{ratio:.3f}"])
        a, b = peak_memory(name, size, batch)
        rows.append([name, "peak of training, MiB", f"{a:.0f}", f"{b:.0f}", f"{b / a:.3f}"])
    return rows


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Few runs on small images.")] = False,
    size: Annotated[int, typer.Option(help="Height and width of the images in pixels.")] = 224,
    batch: Annotated[int, typer.Option(help="Images per batch.")] = 2,
    runs: Annotated[int, typer.Option(help="Measured runs of each side.")] = 15,
    net: Annotated[list[str] | None, typer.Option(help="Catalog names to compare.")] = None,
) -> None:
    """Print tables: import time, the wrapper's cost, RoIAlign. No pass or fail.

    Example: python -m mmbackbones.bench.overhead --quick
    """
    import torch

    if quick:
        size, runs = min(size, 96), min(runs, 3)
    print_table("Imports, one after the other", ["statement", "ms", "loads"], import_rows(min(runs, 7)))
    title = f"Wrapper: {batch} images of {size}x{size}, {torch.get_num_threads()} threads"
    head = ["net", "what", "bare", "mmbackbones", "ratio"]
    print_table(title, head, wrapper_rows(net or NETS, size, batch, runs))
    head = ["512 RoIs, forward + backward", "torchvision, ms", "mmbackbones, ms", "times faster"]
    print_table("RoIAlign, 2 threads", head, roi_align_rows())


def roi_align_rows() -> list[list[str]]:
    """RoIAlign of the operators without a compiler against torchvision's."""
    from . import operators as bench_ops

    return [
        [row["name"], f"{row['torchvision_ms']:.1f}", f"{row['ours_ms']:.1f}", f"{row['ratio']:.1f}"]
        for row in bench_ops.roi_align_rows()
    ]


if __name__ == "__main__":
    typer.run(main)
