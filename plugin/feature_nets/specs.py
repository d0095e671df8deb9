"""What is known of a network before it is built: its row of the catalog, or what a trace of it shows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from .. import kept
from ..catalog import catalog_names, row_of
from ..catalog.inputs import timm_mean_std, torchvision_mean_std
from ..catalog.own import Own, own_names, own_net
from ..catalog.spec import IMAGENET_MEAN, IMAGENET_STD, MeanStd, Spec
from ..errors import InputError

if TYPE_CHECKING:
    from ..sources import FeatureNet
    from ..tracing.trace import Trace

T = TypeVar("T")


SOURCES = ("timm", "torchvision")


def get_spec(name: str) -> Spec:
    """The row of a catalog name or alias, or what can be read off ``timm:<name>``, ``torchvision:<name>``
    or a network of :func:`mmbackbones.register_backbone`.

    For a name outside the catalog the network is traced once on the meta device.

    Raises:
        InputError: unknown name; the message has the nearest ones.
    """
    source, colon, upstream = name.partition(":")
    if colon and source in SOURCES:
        return spec_of(source, upstream)
    if name in catalog_names():
        return row_of(name)
    own = own_net(name)
    return row_of(name, own_names()) if own is None else _spec_of_own(own)


def is_known(name: str) -> bool:
    """Whether somebody has a network ``name``, be it fit for a backbone or not."""
    from ..sources import has_net

    source, colon, upstream = name.partition(":")
    if colon:
        return source in SOURCES and has_net(source, upstream)
    return name in catalog_names() or name in own_names()


@cache
def _spec_of_own(own: Own) -> Spec:
    return measured("own", own.name, {})


@cache
def spec_of(source: str, upstream: str) -> Spec:
    """What :func:`measured` says of a network as its source builds it by default."""
    name = current_name(upstream) if source == "timm" else upstream
    return Spec(**kept.fact("spec", (source, name), lambda: vars(measured(source, name, {}))))


def current_name(upstream: str) -> str:
    """timm's present name of a model, with the tag of its weights, where ``upstream`` is an old one."""
    name = kept.fact("timm's name", upstream, lambda: present_name(upstream))
    if name != upstream:
        warnings.warn(f"timm calls '{upstream}' '{name}' now; that is what is built.", stacklevel=2)
    return name


def present_name(upstream: str) -> str:
    import timm

    base, dot, tag = upstream.partition(".")
    present = timm.models.get_deprecated_models().get(base)
    if present is None:
        return upstream
    new = present.split(".")[0]
    tags = timm.list_pretrained(f"{new}.*")
    if present != new and present not in tags:  # timm's own table lags behind: .sam is .sam_in1k by now
        present = next((name for name in tags if name.startswith(present)), new)
    return f"{new}.{tag}" if dot else present


def measured(source: str, upstream: str, arguments: dict[str, Any]) -> Spec:
    """Trace ``upstream`` of ``source`` and describe it; mean, std and weights come from the source.

    Raises:
        InputError: the source has no such network, or its maps have no power-of-two strides.
    """
    from ..surgery.dilatable import can_dilate
    from ..tracing.gates import has_gate
    from .steps import open_traced

    name = upstream if source == "own" else f"{source}:{upstream}"
    feature_net, _, found = without_values(lambda: open_traced(source, upstream, 3, arguments, name=name))
    facts: dict[str, Any] = {}
    if source == "timm":
        facts = _timm_facts(upstream)
    elif source == "torchvision":
        facts = _torchvision_facts(upstream)
    elif source == "own":
        facts = _own_facts(upstream, feature_net, found)
    needed = found.needed
    params = dict(feature_net.net.named_parameters())
    return Spec(
        name=name,
        source=source,
        upstream=upstream,
        channels=found.channels,
        has_se=has_gate(feature_net, found),
        dilatable=can_dilate(feature_net, found),
        params=sum(params[key].numel() for key in needed),
        **{"family": type(feature_net.net).__name__.lower(), **facts},
    )


def without_values(build: Callable[[], T]) -> T:
    """What ``build`` builds, on the meta device where that goes; torch's random state stays as it is."""
    import torch

    from ..tracing.shapes import Unfilled

    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"), Unfilled():
                return build()
        except InputError:
            raise
        except Exception:  # torchvision's RegNet reads values while it is built, and so may others
            return build()


def _timm_facts(upstream: str) -> dict[str, Any]:
    import timm

    base, _, tag = upstream.partition(".")
    tags = timm.list_pretrained(f"{base}.*")
    default = timm.get_pretrained_cfg(upstream)
    if tag and upstream not in tags:
        raise InputError(f"timm has no weights '{upstream}'. Tags of '{base}': {', '.join(tags) or 'none'}.")
    first = f"{base}.{default.tag}"
    ordered = [upstream] if tag else sorted(tags, key=lambda weights: weights != first)
    default_input = (tuple(default.mean), tuple(default.std))
    return _inputs(tuple(f"timm://{weights}" for weights in ordered), default_input)


def _torchvision_facts(upstream: str) -> dict[str, Any]:
    from torchvision import models

    entries = models.get_model_weights(upstream)
    return _inputs(
        tuple(f"torchvision://{upstream}.{entry.name}" for entry in entries), (IMAGENET_MEAN, IMAGENET_STD)
    )


def _own_facts(name: str, feature_net: FeatureNet, found: Trace) -> dict[str, Any]:
    """What the user said of a network, and what it costs."""
    from ..tracing.cost import cost_of_maps
    from .own import known_own

    own = known_own(name)
    counted = cost_of_maps(feature_net, found)
    said = {key: value for key, value in own.facts.items() if value}
    return {"gflops": float(f"{counted.madds / 1e9:.4g}"), "kind": counted.kind, **said}


def _inputs(weights: tuple[str, ...], default: MeanStd) -> dict[str, Any]:
    """Mean and std of the first of ``weights`` (without any: ``default``), and of those that have others."""
    asked = {"timm": timm_mean_std, "torchvision": torchvision_mean_std}
    found = {}
    for name in weights:
        source, _, upstream = name.partition("://")
        found[name] = asked[source](upstream) or default
    mean, std = default = found[weights[0]] if weights else default
    others = {name: mean_std for name, mean_std in found.items() if mean_std != default}
    return {"mean": mean, "std": std, "weights": weights, "inputs": others}
