"""Where the maps of timm's families look: what ``docs/alignment.md`` says is measured again."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from cases import SWEEP

from mmbackbones.errors import InputError

DOCS = Path(__file__).parents[1] / "docs"
ROW = re.compile(r"\| (\w+) \| `(timm:[\w.]+)` \| (.+) \|")
#: Measured again by ``make test``: one in its place, a pyramid behind a stem of convolutions.
FEW = ("resnet", "xcit")
#: Refused again by ``make test``: the others take a minute and a half.
REFUSED_SOON = ("pit",)


def load() -> Any:
    spec = importlib.util.spec_from_file_location("alignment_script", DOCS / "alignment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(text: str) -> dict[str, tuple[str, dict[int, tuple[float, float]]]]:
    """Name and offsets by family."""
    found = {}
    for family, name, cells in ROW.findall(text):
        pairs = re.findall(r"(\d+): \(([-+.\d]+), ([-+.\d]+)\)", cells)
        found[family] = name, {int(stride): (float(down), float(right)) for stride, down, right in pairs}
    return found


SCRIPT = load()
PAGE = (DOCS / "alignment.md").read_text(encoding="utf-8")
EVERY = rows(PAGE.split("\n## Not measured")[0])
REFUSED = re.findall(r"\| (\w+) \| `(timm:\w+)` \| (.+) \|", PAGE.split("\n## ")[-1])


@pytest.mark.parametrize("family", EVERY if SWEEP else FEW)
def test_the_page_says_what_is_measured(family: str) -> None:
    name, offsets = EVERY[family]
    found = SCRIPT.offsets(name)
    assert found.keys() == offsets.keys()
    for stride, pair in found.items():
        assert pair == pytest.approx(offsets[stride], abs=1)  # kernels of other machines round otherwise


def test_the_page_counts_right() -> None:
    off, within = (rows(part) for part in PAGE.split("\n## ")[1:3])
    assert all(SCRIPT.beside(offsets) for _, offsets in off.values())
    assert not any(SCRIPT.beside(offsets) for _, offsets in within.values())
    assert {"xcit", "hrnet"} <= off.keys()
    words = re.search(r"(\d+) of (\d+)\s+families, of which (\d+) .+?\((\d+) have", PAGE, re.DOTALL)
    assert words is not None
    counts = len(EVERY), len(SCRIPT.families()), len(off), len(REFUSED)
    assert tuple(map(int, words.groups())) == counts
    assert len(EVERY) + len(REFUSED) == len(SCRIPT.families())


@pytest.mark.parametrize("name", [name for family, name, _ in REFUSED if SWEEP or family in REFUSED_SOON])
def test_the_page_says_why_a_family_is_not_measured(name: str) -> None:
    with pytest.raises(InputError):
        SCRIPT.offsets(name)
