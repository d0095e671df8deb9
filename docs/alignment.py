"""Measures where the maps of one small network of each family of timm look, and writes ``docs/alignment.md``.

    python docs/alignment.py [--seconds N]

How is said in ``plugin/contract/alignment.py``, which `mmbackbones check` uses too; weights are random.
Results are kept in ``build/alignment.jsonl``; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmbackbones.contract import alignment
from mmbackbones.contract.alignment import beside

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "build" / "alignment.jsonl"
PAGE = ROOT / "docs" / "alignment.md"
#: How timm's names call small networks, the smallest first.
SMALL = ("atto", "femto", "pico", "nano", "xxt", "xxs", "_t", "xs", "_s0", "b0", "_s", "small", "18")


def families() -> dict[str, str]:
    """A small network of each of timm's modules, by module."""
    import timm

    def rank(name: str) -> tuple[int, int, str]:
        return next((i for i, word in enumerate(SMALL) if word in name), len(SMALL)), len(name), name

    found: dict[str, str] = {}
    for name in sorted(timm.list_models(exclude_filters="test_*"), key=rank):
        found.setdefault(timm.models.model_entrypoint(name).__module__.split(".")[-1], f"timm:{name}")
    return dict(sorted(found.items()))


def offsets(name: str) -> dict[int, tuple[float, float]]:
    """Pixels down and right from the cells of each map to what they look at, by stride."""
    import torch

    import mmbackbones

    torch.manual_seed(0)
    return alignment.offsets(mmbackbones.build(name).eval())


def read_cache() -> dict[str, dict[str, Any]]:
    """The results so far, by family; strides are numbers."""
    if not CACHE.exists():
        return {}
    lines = [json.loads(line) for line in CACHE.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if "offsets" in line:
            line["offsets"] = {int(stride): tuple(pair) for stride, pair in line["offsets"].items()}
    return {line["family"]: line for line in lines}


def page(results: dict[str, dict[str, Any]], total: int) -> str:
    """The page, from the results so far."""
    measured = {family: line for family, line in sorted(results.items()) if "offsets" in line}
    off = {family: line for family, line in measured.items() if beside(line["offsets"])}
    refused = {family: line for family, line in sorted(results.items()) if "reason" in line}
    text = [HEAD.format(measured=len(measured), total=total, off=len(off), refused=len(refused))]
    for title, chosen in (
        ("Beside by more than half a cell", off),
        ("Within half a cell", {family: line for family, line in measured.items() if family not in off}),
    ):
        text += [f"## {title}\n", *_table("pixels down and right, by stride", map(_row, chosen.values())), ""]
    rows = (f"| {line['family']} | `{line['name']}` | {line['reason']} |" for line in refused.values())
    return "\n".join([*text, "## Not measured\n", *_table("what it says", rows), ""])


def _table(what: str, rows: Iterable[str]) -> list[str]:
    return [f"| family | network | {what} |", "| --- | --- | --- |", *rows]


def _row(line: dict[str, Any]) -> str:
    cells = ", ".join(f"{s}: ({down:+.1f}, {right:+.1f})" for s, (down, right) in line["offsets"].items())
    return f"| {line['family']} | `{line['name']}` | {cells} |"


HEAD = """# Where maps look

Cell (i, j) of the map of stride s should look at the image around ((i + 0.5) s, (j + 0.5) s), to within
half a cell. Tests hold every convolutional network of the catalog to it. This page says what `python
docs/alignment.py` measured on one small network of each of timm's families with random weights, over the
cells of 32 pixels: {measured} of {total} families, of which {off} look beside by more than half a cell
({refused} have no such maps, see the end). Centred windows of odd size and stride 2 look half a pixel of
their input up and left, so that a network of them looks (s - 1) / 2 pixels beside at stride s: nearly half a
cell. A stride-16 stem of four such convolutions looks 7.5 pixels beside: more than half a cell at strides 4
and 8, where a plain transformer's pyramid takes its maps from the same tap; a network that adds coarse maps
to fine ones (HRNet) takes the coarse ones' place with them. The maps are the upstream's own and are not
shifted: their weights were trained with them, and a detector has to learn the offset.

Figures are estimates: where the gradient reaches the whole image (attention, HRNet's fused branches) chance
moves them by some pixels, and only what exceeds half a cell by more than a pixel is listed as beside.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no network after so long")
    end, every = time.monotonic() + parser.parse_args().seconds, families()
    CACHE.parent.mkdir(exist_ok=True)
    known = read_cache()
    # those that the tests measure again come first
    for family, name in sorted(every.items(), key=lambda item: item[0] not in ("hrnet", "resnet", "xcit")):
        if family in known or time.monotonic() > end:
            continue
        line: dict[str, Any] = {"family": family, "name": name}
        try:
            line["offsets"] = offsets(name)
        except Exception as error:  # whatever escapes an upstream is a finding
            line["reason"] = str(error).partition(": tried")[0].partition("\n")[0]
        with CACHE.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    PAGE.write_text(page(read_cache(), len(every)), encoding="utf-8")


if __name__ == "__main__":
    main()
