"""Users' own networks: what :func:`register_backbone` was told, and the entry points of their packages.

Nothing is built or measured here: what a network is, :mod:`mmbackbones.feature_nets` reads off it when asked.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from ..errors import InputError
from . import catalog_names
from .spec import IMAGENET_MEAN, IMAGENET_STD

Factory = TypeVar("Factory", bound=Callable[..., Any])

#: The group of entry points by which a package offers its networks: the name, and where the factory is.
GROUP = "mmbackbones.backbones"
_NAME = re.compile(r"[A-Za-z_][\w-]*")


@dataclass(frozen=True, eq=False)
class Own:
    """One network of a user, as it was registered.

    Attributes:
        name: What it is called.
        factory: Builds the ``nn.Module``; a class or a function, whose arguments are ``net_kwargs``.
        taps: Where the map of a stride is read: the path of a module, or a key of what ``forward`` returns.
        facts: What the network does not show: see :class:`mmbackbones.catalog.spec.Spec`.
    """

    name: str
    factory: Callable[..., Any]
    taps: Mapping[int, str | int]
    facts: Mapping[str, Any]

    @property
    def home(self) -> str:
        """The module that has to be imported for the name to be known."""
        return str(getattr(self.factory, "__module__", ""))


REGISTERED: dict[str, Own] = {}


def register_backbone(
    name: str,
    factory: Factory | None = None,
    *,
    taps: Mapping[int, str | int] | None = None,
    family: str = "",
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    weights: tuple[str, ...] = (),
    paper: str = "",
    year: int = 0,
    force: bool = False,
) -> Any:
    """Make a network of your own a backbone: ``type="mmbackbones.<name>"``, ``mmbackbones.build(name)``.

    As a call, ``register_backbone("mynet", MyNet)``, or over a class or function:
    ``@register_backbone("mynet")``.

    Args:
        name: What to call it; no name of the catalog.
        factory: Takes no argument that must be given and returns an ``nn.Module``, perhaps a plain
            classifier. If it has an argument ``in_channels`` or ``in_chans`` it is told the image's channels.
        taps: Where to read the map of a stride, by stride: the path of a module as ``{8: "layer2"}``, or a
            key of the dict or an index of the list that ``forward`` returns. The others are found by a run.
        family: Of architectures; by default the class's name.
        mean: Of the weights' images, RGB in 0..1.
        std: Likewise.
        weights: Files or addresses of weights, the default first.
        paper: arXiv id, or DOI.
        year: Of the paper.
        force: Whether the name may have been registered before, for another network.

    Returns:
        ``factory`` itself, or the decorator.

    Raises:
        InputError: the name is the catalog's or another network's or no name, or a tap is none.
    """
    if factory is None:
        return partial(
            register_backbone,
            name,
            taps=taps,
            family=family,
            mean=mean,
            std=std,
            weights=weights,
            paper=paper,
            year=year,
            force=force,
        )
    _check_name(name)
    if not callable(factory):
        raise InputError(f"'{name}': {factory!r} is no class or function that builds a network. Give one.")
    before = REGISTERED.get(name)
    if before is not None and not force and _place(before.factory) != _place(factory):
        raise InputError(
            f"'{name}' is registered already, for {_place(before.factory)}. Choose another name, or say "
            f"force=True to put {_place(factory)} in its place."
        )
    facts: dict[str, Any] = {"family": family, "paper": paper, "year": year}
    facts |= {"mean": tuple(mean), "std": tuple(std), "weights": tuple(weights)}
    REGISTERED[name] = Own(name, factory, _checked_taps(name, taps or {}), facts)
    return factory


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a backbone: write letters, digits, '_' and '-', a letter first."
        )
    if name in catalog_names():
        raise InputError(
            f"'{name}' is a backbone of the catalog (`mmbackbones info {name}`). Choose another name, "
            f"as 'my_{name}'."
        )


def _place(factory: Any) -> str:
    """Where a factory is written; a file that is imported twice registers the same one."""
    code = getattr(inspect.unwrap(factory), "__code__", None)
    file = code.co_filename if code else getattr(factory, "__module__", "")
    return f"{getattr(factory, '__qualname__', repr(factory))} of {file}"


def _checked_taps(name: str, taps: Mapping[int, str | int]) -> dict[int, str | int]:
    for stride, tap in taps.items():
        if isinstance(stride, bool) or not isinstance(stride, int) or stride < 1 or stride & (stride - 1):
            raise InputError(
                f"'{name}': taps has the stride {stride!r}. Strides are powers of two: 4, 8, ..."
            )
        if isinstance(tap, bool) or not isinstance(tap, (str, int)):
            raise InputError(
                f"'{name}': taps={{{stride}: {tap!r}}}. Write the path of a module, as 'layer2', or a key or "
                f"index of what forward returns."
            )
    return dict(taps)


@cache
def offered() -> dict[str, EntryPoint]:
    """Entry points of installed packages by name, the first of each; those of catalog names are left out."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name not in catalog_names():
            found.setdefault(point.name, point)
    return found


def own_names() -> tuple[str, ...]:
    """Names that were registered, and those that packages offer, whose code is not imported for that."""
    return tuple({**REGISTERED, **offered()})


def own_net(name: str) -> Own | None:
    """The network registered as ``name``, or offered by an entry point, which is loaded now; else None.

    Raises:
        InputError: the entry point cannot be loaded.
    """
    if name not in REGISTERED and name in offered():
        point = offered()[name]
        try:
            factory = point.load()
            if name not in REGISTERED:  # it did not do so itself, with what else it has to say
                register_backbone(name, factory)
        except (Exception, SystemExit) as error:  # others' code, which may fail in any way
            package = point.dist.name if point.dist else "an installed package"
            raise InputError(
                f"'{name}' is offered by {package} as {point.value}, which cannot be loaded "
                f"({type(error).__name__}: {error}). Mend or uninstall the package."
            ) from error
    return REGISTERED.get(name)
