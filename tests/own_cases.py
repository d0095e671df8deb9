"""The networks of ``own_nets.py``, registered for the tests of one file."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

import pytest

from mmbackbones.catalog import own

NETS = ("dictnet", "listnet", "logitsnet", "unpaddednet", "nhwcnet")


@pytest.fixture(scope="module")
def registered() -> Iterator[None]:
    """Known by name; afterwards forgotten, so that other tests see the catalog only."""
    before = dict(own.REGISTERED)
    sys.modules.pop("own_nets", None)
    importlib.import_module("own_nets")
    yield
    sys.modules.pop("own_nets", None)  # the next import registers them again
    own.REGISTERED.clear()
    own.REGISTERED.update(before)
