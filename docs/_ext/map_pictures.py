"""Pictures of C2..C5 on one photograph for the catalog's pages. Nothing is fetched, so weights are random."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image
from site_links import ROOT
from torch import Tensor
from torch.nn import functional as F

import mmbackbones
from mmbackbones.catalog.spec import Spec

FOLDER = ROOT / "build" / "map_pictures"
#: Side of the photograph and between tiles, pixels.
SIDE, GAP = 224, 8


def write(specs: Iterable[Spec], folder: Path = FOLDER) -> None:
    """``<name>.png`` for each of ``specs``, where that is missing or older than the package's code."""
    folder.mkdir(parents=True, exist_ok=True)
    code = [Path(__file__), *Path(mmbackbones.__file__).parent.rglob("*.py")]
    changed = max(path.stat().st_mtime for path in code)
    for spec in specs:
        path = folder / f"{spec.name}.png"
        if not path.is_file() or path.stat().st_mtime < changed:
            picture(spec).save(path)


def picture(spec: Spec) -> Image.Image:
    """The photograph and beside it each map of ``spec``'s net, fine to coarse."""
    torch.manual_seed(0)
    net = mmbackbones.build(spec.name).eval()
    shown = photograph()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
    with torch.no_grad():
        maps = net(((shown - mean) / std)[None])
    return in_a_row([shown, *(coloured(fmap[0]) for fmap in maps)])


def photograph() -> Tensor:
    """Grace Hopper by James S. Davis, US Navy, in the public domain; matplotlib ships it. (3, 224, 224)"""
    from matplotlib.cbook import get_sample_data
    from torchvision.transforms.functional import pil_to_tensor

    with get_sample_data("grace_hopper.jpg") as file, Image.open(file) as whole:
        side = min(whole.size)
        small = whole.convert("RGB").crop((0, 0, side, side)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return pil_to_tensor(small) / 255


def coloured(fmap: Tensor) -> Tensor:
    """(C, h, w) as (3, 224, 224): the three directions in which cells differ most as red, green and blue."""
    cells = fmap.flatten(1).T
    cells = cells - cells.mean(0)
    along = cells @ torch.linalg.svd(cells, full_matrices=False).Vh[:3].T
    low, high = along.quantile(0.02, 0), along.quantile(0.98, 0)
    colours = ((along - low) / (high - low)).clamp(0, 1).T.view(3, *fmap.shape[1:])
    return F.interpolate(colours[None], (SIDE, SIDE))[0]


def in_a_row(tiles: list[Tensor]) -> Image.Image:
    """Pictures of one size side by side, with see-through gaps."""
    from torchvision.transforms.functional import to_pil_image

    sheet = Image.new("RGBA", (len(tiles) * (SIDE + GAP) - GAP, SIDE))
    for n, tile in enumerate(tiles):
        sheet.paste(to_pil_image(tile), (n * (SIDE + GAP), 0))
    return sheet
