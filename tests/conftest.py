"""What all tests share: seeds, one thread per worker, the folder of real data, a small COCO set."""

from __future__ import annotations

import functools
import gc
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from detection_sets import coco, draw, state, write
from segmentation_sets import image, label

import mmbackbones  # noqa: F401 (before mmdet: torch 2.4 calls no entry points, see pyproject.toml)

ROOT = Path(__file__).parents[1]
KEPT = "mmbackbones_kept_"  # then the session's process
BEGUN_FIRST = ("test_export", "test_configs", "test_own_pairs", "test_cli_results")


def pytest_configure(config: pytest.Config) -> None:
    """One thread per worker, so that parallel tests do not fight for the cores; ``make sweep``'s plugin; no
    fact is kept for longer than the session; garbage is looked for less often, which was a tenth of the time.
    """
    gc.set_threshold(20_000, 10, 10)
    if "PYTEST_XDIST_WORKER" not in os.environ:  # workers share it: what one has traced the others know
        kept = tempfile.TemporaryDirectory(
            prefix=f"{KEPT}{os.getpid()}_"
        )  # else a fact could outlive its cause
        config.add_cleanup(kept.cleanup)
        forget_killed_sessions()
        os.environ["MMBACKBONES_CACHE"] = kept.name
    else:
        os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
        torch.set_num_threads(1)
    if os.environ.get("MMBACKBONES_SWEEP_FILE"):
        from sweep import Sweep

        config.pluginmanager.register(Sweep(config), "sweep")


def forget_killed_sessions() -> None:
    """Remove the folders of facts of sessions that were killed, which cleaned nothing up."""
    for folder in Path(tempfile.gettempdir()).glob(f"{KEPT}*_*"):
        owner = folder.name.removeprefix(KEPT).partition("_")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)  # another session may do so at the same time


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Checks that share a name's built net, or what a file has made, follow each other, on one worker where
    ``--dist loadgroup`` says so. The longest files begin, then names, then files by their number of tests.
    """
    if config.pluginmanager.hasplugin("sweep"):
        return  # it has an order of its own

    def name_of(item: pytest.Item) -> str:
        shares = shares_nets(item.module) and hasattr(item, "callspec")
        return item.callspec.params.get("name", "") if shares else ""

    many = Counter(item.module for item in items)
    items.sort(  # stable
        key=lambda item: (
            item.module.__name__ not in BEGUN_FIRST,
            not name_of(item),
            name_of(item),
            -many[item.module],
        )
    )
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(name_of(item) or item.module.__name__))


@pytest.hookimpl(tryfirst=True)  # xdist's own tells the scheduler, which then reads the groups
def pytest_collection_finish(session: pytest.Session) -> None:
    """Let the collector pass over what imports have left, hundreds of thousands of objects."""
    gc.freeze()
    if "PYTEST_XDIST_WORKER" in os.environ:
        from scheduling import write_groups

        write_groups(session.items, Path(os.environ["MMBACKBONES_CACHE"]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "loadgroup":
        return None
    from scheduling import GroupScheduling

    return GroupScheduling(config, log)


def shares_nets(module: ModuleType) -> bool:
    return not {"built", "copied", "blank"}.isdisjoint(vars(module))


@pytest.fixture(scope="module", autouse=True)
def _imported(request: pytest.FixtureRequest) -> None:
    """And over what a module's tests have imported: mmengine collects for each data set that it builds."""
    if not shares_nets(request.module):  # a net that is kept now would be kept for good
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _own_networks() -> Iterator[None]:
    """What a test registers of a user's own networks is forgotten after it."""
    from mmbackbones.catalog import own

    before = dict(own.REGISTERED)
    yield
    for name in own.REGISTERED.keys() - before.keys():
        home = own.REGISTERED[name].home
        if not home.startswith("test_"):
            sys.modules.pop(home, None)  # the next import registers it again
    own.REGISTERED.clear()
    own.REGISTERED.update(before)


@pytest.fixture(scope="module", autouse=True)
def _own_globals() -> Iterator[None]:
    """The default scope and the logger that mmengine keeps for a process end with the file that set them: in
    mmseg's scope a head of mmdet's does not find its own losses, and a log file is that of one training.
    """
    yield
    if engine := sys.modules.get("mmengine"):
        engine.DefaultScope._instance_dict.clear()
        engine.MMLogger._instance_dict.clear()


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


@pytest.fixture(scope="module")
def shapes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of generated images with boxes, masks and labels; a module's ``SHAPES`` says how many."""
    from mmbackbones.data.shapes import write_shapes

    wanted = {"train": 4, "val": 2, "size": (64, 64), **getattr(request.module, "SHAPES", {})}
    return write_shapes(tmp_path_factory.mktemp("shapes") / "shapes", **wanted)


@pytest.fixture(scope="session")
def exporter() -> None:
    """Skips where torch has no ONNX exporter that takes names and shapes: 2.4, with which the rest works."""
    from mmbackbones.errors import InputError
    from mmbackbones.sources.exporting import need_onnx_exporter

    try:
        need_onnx_exporter()
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def builder() -> None:
    """Skips where the installed setuptools, which runs the package from 66 on, cannot build it."""
    from importlib.metadata import version

    from packaging.version import Version

    if Version(version("setuptools")) < Version("77"):
        pytest.skip("built with setuptools 77 or newer, see [build-system] in pyproject.toml")


@pytest.fixture(scope="session")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def detector(trainings: Path):
    """A detector that the command has trained: see ``cli_trainings.Trained``."""
    from cli_trainings import Trained

    return Trained.once("detector", trainings)


@pytest.fixture(scope="session")
def segmenter(trainings: Path):
    """The same for segmentation."""
    from cli_trainings import Trained

    return Trained.once("segmenter", trainings)


@pytest.fixture(params=["detector", "segmenter"])
def trained(request: pytest.FixtureRequest):
    """Both, one after the other."""
    return request.getfixturevalue(request.param)


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
def labelled(tmp_path):
    """``images/{train,val}`` and ``labels/{train,val}`` with two and one images."""
    root = tmp_path / "set"
    for name in ("train/a", "train/b", "val/c"):
        image(root / "images" / f"{name}.jpg")
        label(root / "labels" / f"{name}.png")
    return root


@pytest.fixture
def look(tmp_path):
    """Recognise a folder for detection and check that nothing in it was changed."""
    return functools.partial(recognised, tmp_path / "cache", "detection")


@pytest.fixture
def look_at_labels(tmp_path):
    """The same for segmentation."""
    return functools.partial(recognised, tmp_path / "cache", "segmentation")


def recognised(cache: Path, task: str, root: Path, **kwargs):
    from mmbackbones.data.layouts import recognise

    before = state(root) if root.is_dir() else {}
    try:
        return recognise(root, task, cache_dir=cache, **kwargs)
    finally:
        assert (state(root) if root.is_dir() else {}) == before
