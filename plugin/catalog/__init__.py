"""What backbones there are. Reading the catalog builds no network and imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from ..errors import InputError, nearest
from .rows import ROWS
from .spec import Spec

__all__ = ["catalog_names", "row_of"]


@cache
def _by_name() -> dict[str, Spec]:
    """Rows by name and by alias; every one of them is unique."""
    found: dict[str, Spec] = {}
    for row in ROWS:
        for name in (row.name, *row.aliases):
            if name in found:
                raise RuntimeError(f"catalog: '{name}' stands for both {found[name].name} and {row.name}")
            found[name] = row
    return found


def catalog_names() -> tuple[str, ...]:
    """Every name and alias of the catalog."""
    return tuple(_by_name())


def row_of(name: str, others: Iterable[str] = ()) -> Spec:
    """The row of a catalog name or alias.

    Raises:
        InputError: unknown name; the message has the nearest ones, of ``others`` too.
    """
    if name not in _by_name():
        near = ", ".join(nearest(name, {*_by_name(), *others}))
        raise InputError(
            f"Unknown backbone '{name}'. Nearest: {near or 'none'}. `mmbackbones list` shows all; "
            f"any other net of timm or torchvision is 'timm:<name>' or 'torchvision:<name>'."
        )
    return _by_name()[name]
