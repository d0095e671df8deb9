"""A network as a chain of named steps, the form in which all networks of this folder are written."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import nn


class Chain(nn.Sequential):
    """Steps that run one after another.

    The steps are children of the network itself, so that parameter names carry no prefix.

    Args:
        steps: Modules by name in order of execution; each takes one map and returns one.

    Attributes:
        steps: Paths of the steps in order of execution: there is a tap after each.
    """

    def __init__(self, steps: Mapping[str, nn.Module]) -> None:
        super().__init__(OrderedDict(steps))
        self.steps = tuple(steps)
