"""``python -m mmbackbones.bench.peers``: our backbones as commands run them against OpenMMLab's own classes.

Sides take turns, so that a busy moment of the machine hits all of them, and what counts is the ratio within
a turn: its median, and the quarters of the turns below and above. Weights are random: they do not change it.
Inference is in eval mode with norms folded; a training step is forward, sum of means, backward. ``bf16`` is
autocast; its ratio is against the peer in fp32 too. ``--compile`` adds ours compiled, in bf16.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from ..backbone import build
from ..engine.timing import in_turn, print_table
from ..surgery.depthwise import take_quick_gradients
from ..surgery.folding import folded
from .machine import devices, machine, write_figures

#: Package and arguments of the class that has the net in OpenMMLab, by our name.
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet50": ("mmdet", dict(type="ResNet", depth=50, norm_eval=False)),
    "swin_tiny_patch4_window7_224": ("mmdet", dict(type="SwinTransformer")),
    "regnetx_032": ("mmdet", dict(type="RegNet", arch="regnetx_3.2gf", norm_eval=False)),
    "efficientnet_b0": ("mmdet", dict(type="EfficientNet", arch="b0", out_indices=(2, 3, 4, 5))),
    "mobilenetv2_100": ("mmdet", dict(type="MobileNetV2", out_indices=(1, 2, 4, 6))),
    "convnext_tiny": ("mmpretrain", dict(type="ConvNeXt", arch="tiny", out_indices=(0, 1, 2, 3))),
    "vit_base_patch16_224": (
        "mmseg",
        dict(type="VisionTransformer", img_size=(224, 224), num_layers=12, out_indices=(2, 5, 8, 11)),
    ),
    "vgg16": ("mmpretrain", dict(type="VGG", depth=16, out_indices=(1, 2, 3, 4))),
}
#: What ours is asked for where their class gives other maps: their plain ViT makes no pyramid. Stride 32 is
#: that of our last block, pooled.
ASKED: dict[str, dict[str, Any]] = {"vit_base_patch16_224": dict(out_strides=(32,))}
COLUMNS = ("inference", "training", "inference, bf16", "training, bf16")
COMPILED = ("inference, bf16 compiled", "training, bf16 compiled")


class MissingPeerError(Exception):
    """OpenMMLab's class of a net cannot be had here."""


def peer(name: str) -> nn.Module:
    """OpenMMLab's class of a net, with random weights.

    Raises:
        MissingPeerError: its package is not installed, or cannot be imported.
    """
    from mmengine.registry import MODELS

    package, config = PEERS[name]
    try:
        import_module(f"{package}.models")
    except ImportError as error:
        raise MissingPeerError(f"{package} cannot be imported: {error}") from error
    with MODELS.switch_scope_and_registry(package) as registry:
        net: nn.Module = registry.build(dict(config))
    return net


def step(net: Any, image: Tensor, training: bool, bf16: bool) -> None:
    """One pass, or one training step."""
    with torch.set_grad_enabled(training):
        with torch.autocast(image.device.type, torch.bfloat16) if bf16 else nullcontext():
            total = sum(fmap.float().mean() for fmap in net(image))
        if training:
            net.zero_grad()
            total.backward()


def ratios(
    theirs: nn.Module, name: str, image: Tensor, turns: int, compiled: bool = False
) -> dict[str, list[float]]:
    """How many times faster our net is than theirs, in each turn.

    Under each of :data:`COLUMNS`, and with ``compiled`` under each of :data:`COMPILED`; the first run of
    these, which compiles, is not counted.
    """
    ours = build(name, memory_format="auto", **ASKED.get(name, {})).to(image.device)
    take_quick_gradients(ours)
    theirs = theirs.to(image.device)
    found: dict[str, list[float]] = {}
    for training in (False, True):
        for net in (ours, theirs):
            net.train(training)  # OpenMMLab's classes return None
        own = ours if training else folded(ours, image.shape[1])
        what = "training" if training else "inference"
        calls: dict[str, Callable[[], None]] = {
            "theirs": partial(step, theirs, image, training, False),
            what: partial(step, own, image, training, False),
            f"{what}, bf16": partial(step, own, image, training, True),
        }
        if compiled:
            program = torch.compile(own, dynamic=True)
            calls[f"{what}, bf16 compiled"] = partial(step, program, image, training, True)
        first, *others = (seconds := in_turn(calls, turns))
        for column in others:
            found[column] = [a / b for a, b in zip(seconds[first], seconds[column], strict=True)]
    return found


def figures(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, _, high = quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return {"median": median(values), "low": low, "high": high}


def shown(found: dict[str, float]) -> str:
    """Figures as a table has them."""
    return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def main(
    size: Annotated[int, typer.Option(help="Height and width of the images in pixels.")] = 224,
    batch: Annotated[int, typer.Option(help="Images per step.")] = 2,
    turns: Annotated[int, typer.Option(help="Measured turns.")] = 9,
    quick: Annotated[bool, typer.Option("--quick", help="Few turns on small images.")] = False,
    net: Annotated[list[str] | None, typer.Option(help="Which nets; default: all.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: all that are here.")] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Also ours compiled, a minute a net.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")] = None,
) -> None:
    """Print how many times faster our backbones are than OpenMMLab's classes. No pass or fail.

    Example: python -m mmbackbones.bench.peers --out peers.json
    """
    warnings.simplefilter("ignore")  # of mmengine and timm, about their own old spellings
    unknown = set(net or ()) - PEERS.keys()
    if unknown:
        raise typer.BadParameter(f"--net {', '.join(sorted(unknown))}: known are {', '.join(PEERS)}.")
    if quick:
        size, turns = min(size, 64), min(turns, 3)
    content: list[dict[str, Any]] = []
    columns = (*COLUMNS, *COMPILED * compiled)
    for where in devices(device):
        image = torch.rand(batch, 3, size, size, device=where)
        rows = []
        for name in net or PEERS:
            try:
                theirs = peer(name)
            except MissingPeerError as error:
                rows.append([name, str(error), *[""] * (len(columns) - 1)])
                continue
            measured = ratios(theirs, name, image, turns, compiled)
            found = {column: figures(measured[column]) for column in columns}
            content.append({"net": name, "peer": PEERS[name][0], "device": where, **found})
            rows.append([name, *map(shown, found.values())])
            write_figures(out, content, size=size, batch=batch, turns=turns)
        title = (
            f"Times faster than OpenMMLab's class on {where}, {batch} images of {size}x{size}: {machine()}"
        )
        print_table(title, ["net", *columns], rows)


if __name__ == "__main__":
    typer.run(main)
