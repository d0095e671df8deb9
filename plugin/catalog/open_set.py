"""Specs of networks outside the catalog, read off the network itself."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..errors import InputError
from ..spec import IMAGENET_MEAN, IMAGENET_STD, Spec


@cache
def spec_of(source: str, upstream: str) -> Spec:
    """What :func:`measured` says of a network as its source builds it by default."""
    return measured(source, upstream, {})


def measured(source: str, upstream: str, arguments: dict[str, Any]) -> Spec:
    """Trace ``upstream`` of ``source`` and describe it; mean, std and weights come from the source.

    Raises:
        InputError: the source has no such network, or its maps have no power-of-two strides.
    """
    import torch

    from ..dilation import can_dilate
    from ..opening import open_traced

    name = f"{source}:{upstream}"
    try:
        with torch.device("meta"):  # nothing of it needs a value
            tapped, _, found = open_traced(source, upstream, 3, arguments, name=name)
    except InputError:
        raise
    except Exception:  # torchvision's RegNet reads values while it is built, and so may others
        tapped, _, found = open_traced(source, upstream, 3, arguments, name=name)
    facts: dict[str, Any] = {}
    if source == "timm":
        facts = _timm_facts(upstream)
    elif source == "torchvision":
        facts = _torchvision_facts(upstream)
    needed = found.needed
    params = dict(tapped.net.named_parameters())
    gates = ("squeezeexcit", "semodule", "effectivese", "channelgate")  # the last is CBAM's
    return Spec(
        name=name,
        source=source,
        upstream=upstream,
        family=type(tapped.net).__name__.lower(),
        channels=found.channels,
        has_se=any(type(m).__name__.lower().startswith(gates) for m in tapped.net.modules()),
        dilatable=can_dilate(tapped, found),
        params=sum(params[key].numel() for key in needed),
        **facts,
    )


def _timm_facts(upstream: str) -> dict[str, Any]:
    import timm

    base, _, tag = upstream.partition(".")
    tags = timm.list_pretrained(f"{base}.*")
    default = timm.get_pretrained_cfg(upstream)
    if tag and upstream not in tags:
        raise InputError(f"timm has no weights '{upstream}'. Tags of '{base}': {', '.join(tags) or 'none'}.")
    first = f"{base}.{default.tag}"
    ordered = [upstream] if tag else sorted(tags, key=lambda weights: weights != first)
    return {
        "mean": tuple(default.mean),
        "std": tuple(default.std),
        "weights": tuple(f"timm://{weights}" for weights in ordered),
    }


def _torchvision_facts(upstream: str) -> dict[str, Any]:
    from torchvision import models

    entries = list(models.get_model_weights(upstream))
    transforms = entries[0].transforms() if entries else None
    return {
        "mean": tuple(getattr(transforms, "mean", IMAGENET_MEAN)),
        "std": tuple(getattr(transforms, "std", IMAGENET_STD)),
        "weights": tuple(f"torchvision://{upstream}.{entry.name}" for entry in entries),
    }
