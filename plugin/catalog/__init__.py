"""What backbones there are. Reading the catalog builds no network and imports no torch."""

from __future__ import annotations

from functools import cache

from ..errors import InputError, nearest
from ..spec import Spec
from .listing import list_backbones
from .rows import ROWS

__all__ = ["catalog_names", "get_spec", "list_backbones"]

SOURCES = ("timm", "torchvision")


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


def get_spec(name: str) -> Spec:
    """The row of a catalog name or alias, or what can be read off ``timm:<name>``, ``torchvision:<name>``.

    For a name outside the catalog the network is traced once on the meta device.

    Raises:
        InputError: unknown name; the message has the nearest ones.
    """
    source, colon, upstream = name.partition(":")
    if colon and source in SOURCES:
        from .open_set import spec_of

        return spec_of(source, upstream)
    if name not in _by_name():
        near = ", ".join(nearest(name, _by_name()))
        raise InputError(
            f"Unknown backbone '{name}'. Nearest: {near or 'none'}. `mmbackbones list` shows all; "
            f"any other net of timm or torchvision is 'timm:<name>' or 'torchvision:<name>'."
        )
    return _by_name()[name]
