"""Writes docs/benchmarks.md from the figures that `mmbackbones bench --out FOLDER` left.

python docs/benchmarks.py            # from what lies in docs/benchmarks/
python docs/benchmarks.py build/bench --as intel-2-cores   # first copies new figures there
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmbackbones.bench import scaling
from mmbackbones.bench.machine import table_of

HERE = Path(__file__).parent
FIGURES, PAGE = HERE / "benchmarks", HERE / "benchmarks.md"
HEAD = """\
<!-- Written by docs/benchmarks.py; do not edit. -->
# Benchmarks

    mmbackbones bench --out build/bench
    python docs/benchmarks.py build/bench --as MACHINE

Both sides of a comparison run in turn in one process, so that what else the machine does falls on both.
A figure is the median over the turns of the ratio within a turn, in brackets the quartiles; above 1 ours
is faster. Weights are random, which changes no time. What is not in a table was not measured there.
"""
TITLES = {
    "peers": "Backbones against OpenMMLab's own classes, times faster",
    "detectors": "Whole models against the stock config",
    "segmentation": "Real-time segmentors, frames per second",
    "limits": "Part of the processor's arithmetic",
    "depthwise": "Depthwise convolutions that learn",
    "scaling": "Time and memory of a training step, as something grows",
    "data": "Reading an image",
    "start": "From the command to the first training step",
}
_ABOUT = {
    "peers": "Inference has batch norms folded, as `test` and `predict` do; all against the class in fp32.",
    "detectors": "Training is a step of losses and gradients, inference one image from pixels to the result. "
    "The stock model's RoIAlign is torchvision's, compiled as mmcv's own is.",
    "segmentation": "One image, from its normalised pixels to labels. In torch, ours have the memory format "
    "and the folded norms that the commands give them.",
    "limits": "Operations of convolutions and products in a second, against those of a product of two "
    "matrices of 3072x3072 in the same turns.",
    "depthwise": "Forward pass and all gradients of one convolution, with torch's gradients to ours, "
    "which `train` takes: those of the weights where a kernel has four columns and more, in bf16 those of "
    "the input too where it strides.",
    "scaling": "Faster R-CNN R50, stock to ours, and in brackets ours / stock; each measurement is a process "
    "of its own. Memory is what the process grew by once the models were built.",
    "data": "A JPEG file to pixels that fit into 1333x800, with one thread. Grey levels: how far the picture "
    "is from OpenCV's, which is what the pipelines have; no other way within 2 levels is faster.",
    "start": "Faster R-CNN R50 on a few drawn images; each is a new process.",
}


def page() -> str:
    """The page, from all figures."""
    parts = [HEAD]
    for table, title in TITLES.items():
        files = sorted(FIGURES.glob(f"*-{table}.json"))
        if files:
            parts += [f"## {title}\n", f"{_ABOUT[table]}\n"]
        for path in files:
            content = json.loads(path.read_text(encoding="utf-8"))
            parts += [f"{conditions(content)}\n", markdown(rows_of(table, content["rows"]))]
    return "\n".join(parts)


def conditions(content: dict[str, Any]) -> str:
    """The machine and what was asked for."""
    size = content.get("size")
    words = [content["machine"], f"torch {content['torch']}"]
    words += [f"{content['batch']} images of {size}x{size}"] if "batch" in content else []
    words += [f"images of {size}"] if size and "batch" not in content else []
    turns = content["turns"]
    return f"{'; '.join(words)}; {turns} {'turn' if turns == 1 else 'turns'}:"


def rows_of(table: str, rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Head and rows of a table."""
    if table == "scaling":
        return [list(scaling.HEAD), *scaling.cells(rows)]
    if table in ("segmentation", "limits", "depthwise", "data", "start"):
        head, body = table_of(rows)
        return [head, *body]
    if table == "peers":
        columns = [name for name in rows[0] if name not in ("net", "peer", "device")]
        head = ["net", "class of", "device", *columns]
        return [
            head,
            *([row["net"], row["peer"], row["device"], *map(ratio, pick(row, columns))] for row in rows),
        ]
    head = ["model", "what", "device", "images", "stock, ms", "ours, ms", "times faster"]
    body = []
    for row in rows:
        cells = [row["model"], row["what"], row["device"], f"{row['images']} of {row['size']}"]
        cells += [f"{row['stock, ms']:.1f}", f"{row['ours, ms']:.1f}", ratio(row["ours, times faster"])]
        body.append([*cells, f"{row['ours, bf16, ms']:.1f}", ratio(row["ours, bf16, times faster"])])
    return [[*head, "bf16, ms", "times faster"], *body]


def pick(row: dict[str, Any], columns: Iterable[str]) -> list[Any]:
    """The values of some columns."""
    return [row[name] for name in columns]


def ratio(found: dict[str, float]) -> str:
    """Median and quartiles."""
    return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is the head."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def main() -> None:
    """Copy new figures, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="what `mmbackbones bench --out` left")
    parser.add_argument("--as", dest="machine", help="short name of the machine")
    asked = parser.parse_args()
    if asked.folder is not None:
        if not asked.machine:
            parser.error("--as is needed with a folder: a short name of the machine")
        for path in asked.folder.glob("*.json"):
            shutil.copyfile(path, FIGURES / f"{asked.machine}-{path.name}")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
