"""Writes ``docs/checkpoints.md``: OpenMMLab's classes against ours, with the same weights.

    python docs/checkpoints.py

It takes mmdet and mmseg, and mmpretrain where that is installed (or lies in the folder
MMBACKBONES_MMPRETRAIN, of which only the backbones are imported). What is shown is the largest difference
of a map by its largest value.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tempfile
import types
from pathlib import Path

import torch
from torch import Tensor, nn

import mmbackbones
from mmbackbones.weights.counterparts import COUNTERPARTS, Counterpart

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
vectors, saved, loaded here, and the largest difference of a map by its largest value (single precision).

| class | arguments | ours | difference | to know |
| --- | --- | --- | --- | --- |
"""
FOOT = """
No counterpart, so refused or to be used as `mmdet.X`, `mmseg.X` or `mmpretrain.X`:

- Res2Net with `deep_stem=True`, mmdet's: leaves out the pool of the first block; Darknet: other slope than
  timm's; ShuffleNetV1: shuffles behind the depth-wise convolution, the paper before it. All are refused.
- ResNets with `style="caffe"`: the stride is elsewhere. Refused where the file's name or config says so.
- DeiT3 of mmpretrain 1.2 never runs its `ln2` (`ln1` runs twice): its weights load, and maps differ.
- Twins' SVT and PCPVT of mmpretrain: the layers stand in another order. Refused; mmseg's PCPVT loads.
- MixVisionTransformer (MiT), PVT v1, MSCAN, mmseg's MAE (a bias for keys too): timm has no such network.
- mmseg's HRNet has the names and shapes of mmdet's and timm's, and enlarges maps between its branches
  bilinearly: maps differ by 10 %. A segmentor's file is refused where the config in it says so, and warned of
  where it has no config.
- mmpretrain's DaViT pads its first convolution by 1 and 2 pixels, the original and timm by 3: maps differ by
  47 %, and by 1e-6 with its padding set to 3. Recognised and refused.
- mmpretrain's ViTEVA02 turns neighbouring channels by different frequencies, the original and timm by the
  same one, and its keys have a bias: maps differ by 1.5 %. Refused.
- CSPDarknet and CSPNeXt of mmdet are YOLOX's and RTMDet's.
"""


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
    """Largest difference between maps of the two networks with the same weights, by the largest value."""
    theirs = row.build_theirs()
    randomise(theirs)
    theirs.eval()  # anew: LeViT and others then look their tables up
    file = folder / "theirs.pth"
    torch.save({"state_dict": {f"backbone.{k}": v for k, v in theirs.state_dict().items()}}, file)
    ours = mmbackbones.build(row.name, pretrained=str(file), **row.ours).eval()
    assert not ours.load_report.missing, ours.load_report
    for name in [name for name, _ in theirs.named_children() if re.fullmatch(r"norm\d", name)]:
        if isinstance(
            getattr(theirs, name), (nn.LayerNorm, nn.GroupNorm)
        ):  # behind the maps, which here a neck does
            setattr(theirs, name, nn.Identity())
    side = row.side or row.arguments.get("img_size") or (224 if hasattr(ours._feature_net, "inner") else 0)
    images = torch.randn(1, 3, *((side, side) if side else (96, 128)))
    seen: list[Tensor] = []
    if row.at:
        theirs.get_submodule(row.at).register_forward_hook(lambda _, inputs, out: seen.append(out))
    given = theirs(images)
    given = tuple(seen) or given
    given = tuple(one for one in given if one is not None) if isinstance(given, (tuple, list)) else (given,)
    return max(_apart(given, fmap) for fmap in _maps(ours, images, given))


def _maps(ours: mmbackbones.Backbone, images: Tensor, given: tuple[Tensor, ...]) -> list[Tensor]:
    """Our maps that theirs have too; of a plain transformer the last one before its pyramid."""
    net = ours._feature_net
    if type(net).__name__ == "PyramidNet":
        return net.inner.run(images, [net.inner.taps - 1])
    shapes = [fmap.shape for fmap in given]
    maps = [fmap for fmap in ours(images) if fmap.shape in shapes]
    assert maps, f"no map of {[tuple(m.shape) for m in ours(images)]} is among {[tuple(s) for s in shapes]}"
    return maps


def _apart(given: tuple[Tensor, ...], fmap: Tensor) -> float:
    return min(float((one - fmap).abs().max() / one.abs().max()) for one in given if one.shape == fmap.shape)


def line(row: Counterpart, figure: float) -> str:
    """A row of the page."""
    net_kwargs = row.ours.get("net_kwargs", {})
    ours = [*row.ours.items(), *net_kwargs.items()] if net_kwargs else [*row.ours.items()]
    given = ", ".join(f"{key}={value!r}" for key, value in ours if key != "net_kwargs")
    theirs = ", ".join(f"{key}={value}" for key, value in row.arguments.items())
    name = f"`{row.name}`" + (f" ({given})" if given else "")
    return f"| {row.theirs} | {theirs} | {name} | {figure:.0e} | {row.note} |"


def page() -> str:
    """The page, of the packages that are installed."""
    lines = []
    for row in COUNTERPARTS:
        if row.theirs.startswith("mmpretrain.") and not find_mmpretrain():
            continue
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            figure = difference(row, Path(folder))
        lines.append(line(row, figure))
    return HEAD + "\n".join(lines) + "\n" + FOOT


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
