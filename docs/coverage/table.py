"""The text of docs/coverage.md, made of what has run so far; without the part of docs/sweep_table.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from verdicts import BOUND, FREE, versions

HEAD = """# Coverage of the open set

`timm:<name>` and `torchvision:<name>` for every name of timm {timm} and torchvision {torchvision} (torch
{torch}): what `python docs/coverage` found on the meta device. Tests do not sweep again; they build one
small network of each kind on real tensors.

Any size: maps of exactly `ceil(size / stride)` cells, all of them at 333x517 and one alone at 64x64, channels
and strides known before, a missing stride refused. Up to its size: the network has
weights for each cell of its map (MLP-Mixer) or another fixed length, so an image is padded to the size that
the network is built for and may not be larger; `net_kwargs=dict(img_size=(H, W))` builds it for another,
where the upstream takes that.

Column how: what makes a net of a fixed size take any. "Padded": the image, at its right and lower border, and
the maps are cut. "Built anew": position embeddings and tables of position biases are resampled for the size
of the image; at the size that the net was built for its values are the upstream's own. A plain transformer
has the strides of its learned pyramid.

What does not work: CrossViT has strides of 12 and 17 pixels, Sequencer of 7 and 14; PiT's first convolution
is unpadded, so that its position embedding has 27 cells for 224 pixels; Gemma 4's encoder reads values while
it runs and takes multiples of 48 pixels. torchvision's ViT is in timm.
"""


def page(results: list[dict[str, Any]], every: Iterable[str]) -> str:
    """The page, from the results so far of ``every`` name."""
    text = [HEAD.format(**versions())]
    for source in ("timm", "torchvision"):
        lines = [line for line in results if line["name"].startswith(f"{source}:")]
        total = sum(name.startswith(f"{source}:") for name in every)
        if not lines:
            continue
        kinds = Counter(line["verdict"] for line in lines)
        pyramids = sum(_is_pyramid(line) for line in lines)
        works = kinds[FREE] + kinds[BOUND]
        text.append(
            f"## {source}\n\n{len(lines)} of {total} names swept; {works} work "
            f"({100 * works / len(lines):.1f} %): "
            f"{kinds[FREE]} at any size, {kinds[BOUND]} up to the size that they are built for. {pyramids} "
            f"of them have the strides 4, 8, 16, 32, the others those in the table. "
            f"{len(lines) - works} do not work.\n"
        )
        text.append("| family | names | any size | up to its size | refused | strides | how |")
        text.append("| --- | --- | --- | --- | --- | --- | --- |")
        for family in sorted({line["family"] for line in lines}):
            text.append(_row(family, [line for line in lines if line["family"] == family]))
        text.append("")
        failed = [line for line in lines if line["verdict"] not in (FREE, BOUND)]
        if failed:
            text += [f"### What does not work in {source}\n", "| name | reason |", "| --- | --- |"]
            text += [f"| {line['name']} | {_cell(line['reason'])} |" for line in failed]
            text.append("")
    return "\n".join(text)


def _is_pyramid(line: dict[str, Any]) -> bool:
    return line["verdict"] in (FREE, BOUND) and {4, 8, 16, 32} <= set(line["strides"])


def _row(family: str, lines: list[dict[str, Any]]) -> str:
    kinds = Counter(line["verdict"] for line in lines)
    bad = len(lines) - kinds[FREE] - kinds[BOUND]
    strides = sorted({" ".join(map(str, line["strides"])) for line in lines if line.get("strides")})
    how = sorted({line["reason"] for line in lines if line["verdict"] == FREE} - {""})
    cells = (family, len(lines), kinds[FREE], kinds[BOUND], bad, "; ".join(strides), "; ".join(how))
    return "| " + " | ".join(map(str, cells)) + " |"


def _cell(text: str) -> str:
    text = " ".join(text.replace("|", "/").split())
    return text if len(text) <= 240 else text[:237] + "..."
