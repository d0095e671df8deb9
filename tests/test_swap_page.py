"""What the page of swap tells a user to take instead is there to be taken."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from mmbackbones.compose.configs import find_config, shipped_names

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")


def test_what_is_named_instead_is_found(root: Path) -> None:
    texts = runpy.run_path(str(root / "docs" / "swap_sweep" / "instead.py"))["INSTEAD"].values()
    named = [name for text in texts for name in re.findall(r"\bmm\w+::[\w./-]+", text)]
    assert named
    for name in named:
        if name.endswith("/..."):  # any of a family
            package, _, family = name.removesuffix("...").partition("::")
            assert [one for one in shipped_names(package) if one.startswith(family)], name
        else:
            assert find_config(name).is_file()
