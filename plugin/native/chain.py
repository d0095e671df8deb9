"""A network as a chain of named steps, the form in which all networks of this folder are written."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import nn


class Chain(nn.Sequential):
    """Steps that run one after another, then the classifier if there is one.

    The steps are children of the network itself, so that parameter names carry no prefix.

    Args:
        steps: Modules by name in order of execution; each takes one map and returns one.
        classifier: What turns the last map into logits (N, classes); None for a backbone.

    Attributes:
        steps: Paths of the steps in order of execution: there is a tap after each.
    """

    def __init__(self, steps: Mapping[str, nn.Module], classifier: nn.Module | None = None) -> None:
        super().__init__(OrderedDict(steps))
        self.steps = tuple(steps)
        if classifier is not None:
            self.add_module("classifier", classifier)
