"""Writes ``docs/checkpoints.md``: OpenMMLab's classes against ours, with the same weights.

    python docs/checkpoints.py        # goes on where it stopped: build/checkpoints.json has the figures

It takes mmdet and mmseg, and mmpretrain where that is installed (or lies in the folder
MMBACKBONES_MMPRETRAIN, of which only the backbones are imported). What is shown is the largest difference
of a map by its largest value.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import mmbackbones
from mmbackbones.weights.checkpoints import NORM_OF_MAP
from mmbackbones.weights.counterpart_rows import COUNTERPARTS
from mmbackbones.weights.counterparts import every_counterpart
from mmbackbones.weights.openmmlab_classes import Counterpart
from mmbackbones.weights.strangers import STRANGERS

PAGE = Path(__file__).parent / "checkpoints.md"
HEAD = """# OpenMMLab's checkpoints

The published files of mmdet, mmseg and mmpretrain name their layers otherwise than timm and torchvision do.
They load here as they are: `pretrained="swin.pth"` or `init_cfg=dict(type="Pretrained", checkpoint=...)` of a
backbone, `load_from` of a training, `mmbackbones test` and `predict` with a whole detector or segmentor.
Layers are matched by order and shape, so a file must have them in the order in which its class defines them.
Necks and heads keep their names; norms of the maps (Swin's `norm0` ...) go to the neck
`mmbackbones.LevelNorm`; a head for another number of classes is left out, and said. A file of another network
is refused, with a layer that one has and the other has not. `train --resume` takes checkpoints of its own
training only: of OpenMMLab's it says to start anew with `load_from`.

What follows is what `python docs/checkpoints.py` writes: each class with random weights, statistics and
vectors, saved, loaded here, and the largest difference of a map by its largest value, in double precision.

| class | arguments | ours | difference | to know |
| --- | --- | --- | --- | --- |
"""
SIZES = """
The same for other sizes of these networks, those that have been run so far:

| class | arguments | ours | difference |
| --- | --- | --- | --- |
"""
STRANGE = """
Classes without a counterpart here, to be used as `mmdet.X`, `mmseg.X` or `mmpretrain.X`. A file whose shapes
differ is refused, and so is one that only looks like ours where this says so:

| class | why |
| --- | --- |
"""
FOOT = """
ResNets with `style="caffe"` have the stride elsewhere: refused where the file's name or config says so.
RepVGG and MobileOne with merged branches (`deploy=True`) have other layers and are refused as well.
"""
#: Figures found so far, by row: a run goes on where the last one stopped.
CACHE = Path(__file__).parents[1] / "build" / "checkpoints.json"


def find_mmpretrain() -> bool:
    """Whether mmpretrain's backbones can be imported; those alone, from a folder without its requirements."""
    folder = os.environ.get("MMBACKBONES_MMPRETRAIN")
    if folder and "mmpretrain" not in sys.modules:
        sys.path.append(folder)
        for name in ("mmpretrain", "mmpretrain.models"):
            package = types.ModuleType(name)
            package.__path__ = [str(Path(folder, *name.split(".")))]
            sys.modules[name] = package
    return "mmpretrain" in sys.modules or importlib.util.find_spec("mmpretrain") is not None


def randomise(net: nn.Module) -> None:
    """Vectors, statistics and tables by chance: zeros and ones would hide what lies before them."""
    for module in net.modules():
        buffers = [(name, value) for name, value in module._buffers.items() if name.startswith("running_")]
        for name, value in [*module.named_parameters(recurse=False), *buffers]:
            if name in ("weight", "running_var", "gamma") and value.ndim == 1:
                nn.init.uniform_(value, 0.5, 1.5)
            elif value.ndim < 2 or re.search("token|pos|table|bias|gamma", name):
                nn.init.normal_(value, std=0.2)


@torch.no_grad()
def difference(row: Counterpart, folder: Path) -> float:
    """Largest difference of a map by its largest value, in double precision, from the same weights.

    Where the layer norms of the two have other eps, with one eps for all; as they are it must not be more
    than the row's ``as_is``.
    """
    theirs = row.build_theirs()
    randomise(theirs)
    theirs.eval()  # anew: LeViT and others then look their tables up
    file = folder / "theirs.pth"
    torch.save({"state_dict": {f"backbone.{k}": v for k, v in theirs.state_dict().items()}}, file)
    ours = mmbackbones.build(row.name, pretrained=str(file), **row.ours).eval()
    assert not ours.load_report.missing, ours.load_report
    file.unlink()
    for name, module in list(theirs.named_modules()):  # behind the maps, which here a neck does
        if re.fullmatch(NORM_OF_MAP, name) and isinstance(module, (nn.LayerNorm, nn.GroupNorm)):
            parent, _, own = name.rpartition(".")  # torch.nn.Module.set_submodule came with torch 2.5
            setattr(theirs.get_submodule(parent), own, nn.Identity())
    _make_double(theirs)
    _make_double(ours)
    side = row.side or row.arguments.get("img_size") or (224 if hasattr(ours._feature_net, "inner") else 0)
    images = torch.randn(1, 3, *((side, side) if side else (96, 128)), dtype=torch.double)
    found = _apart(row, theirs, ours, images)
    if row.as_is:
        assert found <= row.as_is, f"{found} with each side's eps"
        for net in (theirs, ours):
            for norm in (module for module in net.modules() if isinstance(module, nn.LayerNorm)):
                norm.eps = 1e-6
        found = _apart(row, theirs, ours, images)
    return found


def _make_double(net: nn.Module) -> None:
    """In double precision; what a net makes in single precision on the way (tables of positions) too."""
    net.double()
    for module in net.modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(lambda _, given: tuple(map(_doubled, given)))


def _doubled(value: object) -> object:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _apart(row: Counterpart, theirs: nn.Module, ours: mmbackbones.Backbone, images: Tensor) -> float:
    seen: list[Any] = []
    module = theirs.get_submodule(row.at.removesuffix(".-1"))
    module = module[-1] if row.at.endswith(".-1") else module  # type: ignore[index]
    hook = module.register_forward_hook(lambda _, given, out: seen.append(out))
    theirs(images)
    hook.remove()
    out = seen[0] if isinstance(seen[0], (tuple, list)) else (seen[0],)
    given = [fmap for one in out if one is not None for fmap in _as_maps(one)]
    return max(
        min(float((one - fmap).abs().max() / one.abs().max()) for one in given if one.shape == fmap.shape)
        for fmap in _maps(ours, images, given)
    )


def _as_maps(value: Tensor) -> list[Tensor]:
    """What a value may be as a map: as it is or its channels last, or tokens (N, L, C) of a square image."""
    if value.ndim != 3:
        return [value, value.permute(0, 3, 1, 2)]
    side = math.isqrt(value.shape[1])
    return [value[:, value.shape[1] - side**2 :].transpose(1, 2).unflatten(2, (side, side))]


def _maps(ours: mmbackbones.Backbone, images: Tensor, given: list[Tensor]) -> list[Tensor]:
    """Our maps that theirs have too; of a plain transformer the last one before its pyramid."""
    net = ours._feature_net
    if type(net).__name__ == "PyramidNet":
        return net.inner.run(images, [net.inner.taps - 1])
    shapes = [fmap.shape for fmap in given]
    maps = [fmap for fmap in ours(images) if fmap.shape in shapes]
    assert maps, f"no map of {[tuple(m.shape) for m in ours(images)]} is among {[tuple(s) for s in shapes]}"
    return maps


def cells(row: Counterpart) -> str:
    """Class, arguments and our name of a row."""
    net_kwargs = row.ours.get("net_kwargs", {})
    ours = [*row.ours.items(), *net_kwargs.items()] if net_kwargs else [*row.ours.items()]
    given = ", ".join(f"{key}={value!r}" for key, value in ours if key != "net_kwargs")
    theirs = ", ".join(f"{key}={value}" for key, value in row.arguments.items())
    return f"| {row.theirs} | {theirs} | `{row.name}`" + (f" ({given})" if given else "")


def figures() -> dict[str, float]:
    """The difference of each row by its cells; those that were found before are not found again."""
    found: dict[str, float] = json.loads(CACHE.read_text()) if CACHE.is_file() else {}
    for row in every_counterpart():
        if cells(row) in found or (row.theirs.startswith("mmpretrain.") and not find_mmpretrain()):
            continue
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            found[cells(row)] = difference(row, Path(folder))
        CACHE.parent.mkdir(exist_ok=True)
        CACHE.write_text(json.dumps(found, indent=1))
    return found


def page(found: dict[str, float]) -> str:
    """The page, of the packages that are installed."""
    small = [row for row in COUNTERPARTS if cells(row) in found]
    others = [row for row in every_counterpart() if cells(row) in found and row not in small]
    lines = [f"{cells(row)} | {found[cells(row)]:.0e} | {_note(row)} |" for row in small]
    more = [f"{cells(row)} | {found[cells(row)]:.0e} |" for row in others]
    strange = [f"| {kind} | {why} |" for kind, why in STRANGERS.items()]
    return HEAD + "\n".join([*lines, SIZES + "\n".join([*more, STRANGE + "\n".join(strange)])]) + "\n" + FOOT


def _note(row: Counterpart) -> str:
    eps = f"with one eps in all layer norms; with each side's own at most {row.as_is:.0e}"
    return "; ".join(part for part in (row.note, eps if row.as_is else "") if part)


if __name__ == "__main__":
    PAGE.write_text(page(figures()), encoding="utf-8")
