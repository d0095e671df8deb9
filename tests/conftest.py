"""What all tests share: seeds, one thread per worker, the folder of real data, a small COCO set."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from detection_sets import coco, draw, state, write

ROOT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """One thread per worker, so that parallel tests do not fight for the cores; ``make sweep``'s plugin."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
        torch.set_num_threads(1)
    if os.environ.get("MMBACKBONES_SWEEP_FILE"):
        from sweep import Sweep

        config.pluginmanager.register(Sweep(config), "sweep")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Checks that share a name's built net follow each other, in all files; the rest comes after them."""
    if config.pluginmanager.hasplugin("sweep"):
        return  # it has an order of its own

    def name_of(item: pytest.Item) -> str:
        shares = {"built", "copied", "blank"} & vars(item.module).keys() and hasattr(item, "callspec")
        return item.callspec.params.get("name", "") if shares else ""

    items.sort(key=lambda item: (not name_of(item), name_of(item)))  # stable


@pytest.fixture(autouse=True)
def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data sets and reference tables, which lies beside the checkout.

    ``MMBACKBONES_SHARED`` names another place.
    """
    path = Path(os.environ.get("MMBACKBONES_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no folder {path}: set MMBACKBONES_SHARED to run the tests on real data")
    return path


@pytest.fixture
def plain(tmp_path):
    """``images/`` with train.json (a, b) and val.json (c)."""
    root = tmp_path / "set"
    for name in "abc":
        draw(root / "images" / f"{name}.jpg")
    write(root / "train.json", coco(["a.jpg", "b.jpg"]))
    write(root / "val.json", coco(["c.jpg"]))
    return root


@pytest.fixture
def look(tmp_path):
    """Recognise a folder for detection and check that nothing in it was changed."""

    def run(root: Path, **kwargs):
        before = state(root) if root.is_dir() else {}
        try:
            from mmbackbones.data.layouts import recognise

            return recognise(root, "detection", cache_dir=tmp_path / "cache", **kwargs)
        finally:
            assert (state(root) if root.is_dir() else {}) == before

    return run
