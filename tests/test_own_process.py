"""What the commands' processes set for themselves."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmbackbones.cli.ending import ending


class Ring:
    """Garbage that only a search finds."""

    def __init__(self) -> None:
        self.own = self


def searched() -> bool:
    """Whether a search finds what is made now and kept by nobody."""
    left = weakref.ref(Ring())
    gc.collect()
    return left() is None


@pytest.fixture
def _nothing_set_aside() -> Iterator[None]:
    gc.unfreeze()  # the tests themselves set imports aside
    yield
    gc.freeze()


@pytest.fixture
def new_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "imported_once.py").write_text("kept = [[] for _ in range(1000)]\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "imported_once"


@pytest.mark.usefixtures("_nothing_set_aside")
def test_imports_are_searched_for_garbage_once(new_module: str) -> None:
    callbacks = list(gc.callbacks)
    with ending():
        gc.collect()
        assert gc.get_freeze_count() == 0
        kept = importlib.import_module(new_module).kept
        gc.collect()
        assert gc.get_freeze_count() >= len(kept)
        searchable = {id(one) for one in gc.get_objects()}
        assert not searchable & {id(one) for one in kept}
        at_rest = gc.get_freeze_count()
        assert searched()  # no module is new: what comes now is searched as ever
        assert gc.get_freeze_count() == at_rest
    assert gc.get_freeze_count() == 0
    assert gc.callbacks == callbacks


def test_what_others_have_set_aside_stays_so() -> None:
    mine = [[]]
    gc.freeze()
    callbacks = list(gc.callbacks)
    with ending():
        assert gc.callbacks == callbacks
    assert all(one is not mine for one in gc.get_objects())


@pytest.mark.parametrize(("given", "used"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_sleep(given: str | None, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        del os.environ["OMP_WAIT_POLICY"]
    with ending():
        assert os.environ["OMP_WAIT_POLICY"] == used


OLD_SPELLINGS = """
from mmbackbones.cli.ending import ending
with ending():
    import warnings
    import torch
    warnings.filterwarnings("ignore", message="The distutils package")  # shown for a main program alone
    import distutils.errors
    import setuptools
    torch.meshgrid(torch.zeros(2), torch.zeros(3))
    torch.utils.data.DataLoader([0], num_workers=9999)
    list(torch.utils.data.DataLoader([0], pin_memory=True))
    warnings.warn("of something else")
"""


def test_the_console_shows_no_warning_that_others_cause_in_each_other() -> None:
    done = subprocess.run([sys.executable, "-c", OLD_SPELLINGS], capture_output=True, text=True, check=True)
    assert done.stderr.count("Warning") == 1
    assert "UserWarning: of something else" in done.stderr
