"""A class of OpenMMLab with its arguments, and the backbone here that computes the same from its weights."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from ..errors import InputError
from .counterpart_sizes import Sizes

#: Where the classes of each package are.
PACKAGES = {package: f"{package}.models.backbones" for package in ("mmdet", "mmseg", "mmpretrain")}


@dataclass(frozen=True)
class Counterpart:
    """One class with its arguments, and the same network here.

    Attributes:
        theirs: ``package.Class``.
        name: Of our backbone.
        arguments: For their constructor.
        ours: For ours.
        note: What is permuted in the tensors, or what to know.
        at: Path of the module of theirs whose output is a map of ours, where theirs returns no map.
            ``layers.-1`` is the last of a list.
        side: Of the image, where theirs takes one size only.
        as_is: Where their layer norms have other eps than ours: the largest difference that makes, by the
            largest value of a map.
        sizes: Other sizes: our names, and what changes in ``arguments``.
    """

    theirs: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    ours: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    at: str = ""
    side: int = 0
    as_is: float = 0.0
    sizes: Sizes = field(default_factory=dict)

    def of_other_sizes(self) -> Iterator[Counterpart]:
        """A row for each of :attr:`sizes`."""
        for name, arguments in self.sizes.items():
            yield replace(self, name=name, arguments={**self.arguments, **arguments}, sizes={})

    def build_theirs(self) -> nn.Module:
        """Their network with fresh weights, in eval mode.

        Raises:
            InputError: its package is not installed.
        """
        package, _, kind = self.theirs.partition(".")
        try:
            module = importlib.import_module(PACKAGES[package])
        except ImportError as error:
            raise InputError(f"{self.theirs} is of {package}, which cannot be imported: {error}.") from error
        net: nn.Module = getattr(module, kind)(**self.arguments)
        net.eval()  # mmdet's give None
        return net
