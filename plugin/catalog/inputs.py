"""Mean and standard deviation belong to weights, not to a network: what a checkpoint's input looks like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .spec import MeanStd, Spec


def mean_std_of(spec: Spec, checkpoint: str | None) -> MeanStd:
    """Mean and std, RGB in 0..1, of the images that the weights at ``checkpoint`` were trained on.

    For weights of the catalog nothing is imported; what timm or torchvision has beyond it is asked of them,
    offline. Of a file or an address nobody says it: those of the default weights are taken, as for None.
    """
    default = (spec.mean, spec.std)
    if checkpoint is None or checkpoint in spec.weights or checkpoint == f"{spec.source}://{spec.upstream}":
        return spec.inputs.get(checkpoint or "", default)  # an upstream's name without tag: the default
    source, _, name = checkpoint.partition("://")
    asked = {"timm": timm_mean_std, "torchvision": torchvision_mean_std}.get(source)
    return (asked(name) if asked else None) or default


def asked_weights(spec: Spec, backbone_args: Mapping[str, Any]) -> str | None:
    """The checkpoint that a backbone's arguments ``pretrained`` and ``init_cfg`` name; None for none.

    Raises:
        InputError: ``pretrained`` is no tag of the backbone, or True where no weights are known.
    """
    pretrained = backbone_args.get("pretrained")
    loads = backbone_args.get("init_cfg") or []
    for load in [loads] if isinstance(loads, Mapping) else loads:
        if load.get("type") == "Pretrained":
            pretrained = load["checkpoint"]  # loaded by init_weights(), after what is loaded at once
    return resolve(spec, pretrained) if pretrained else None


def resolve(spec: Spec, pretrained: bool | str) -> str:
    """The checkpoint that ``pretrained`` means: ``True`` the default, a tag, an address or a file.

    Raises:
        InputError: no weights are known, or the word is neither a tag, an address nor a file.
    """
    if pretrained is True:
        if not spec.weights:
            raise InputError(f"No pretrained weights are known for '{spec.name}'. Give a file instead.")
        return spec.weights[0]
    text = str(pretrained)
    if "://" in text or Path(text).exists():
        return text
    for weights in spec.weights:
        if text in (weights.rsplit("/", 1)[-1], weights.partition(".")[2]):
            return weights
    tags = ", ".join(weights.partition(".")[2] for weights in spec.weights) or "none"
    raise InputError(
        f"Weights '{text}' are neither a file that exists nor a tag of '{spec.name}'. Tags: {tags}."
    )


def timm_mean_std(name: str) -> MeanStd | None:
    """Of timm's ``<model>`` or ``<model>.<tag>``; None if timm knows no such weights."""
    import timm

    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError:  # the model is known, the tag is not
        return None
    return (tuple(config.mean), tuple(config.std)) if config else None


def torchvision_mean_std(name: str) -> MeanStd | None:
    """Of torchvision's ``<model>`` or ``<model>.<TAG>``; None if torchvision has no such weights."""
    from torchvision import models

    model, _, tag = name.partition(".")
    try:
        entry = models.get_model_weights(model)[tag or "IMAGENET1K_V1"]
    except (ValueError, KeyError):
        return None
    preset = entry.transforms()
    return (tuple(preset.mean), tuple(preset.std)) if hasattr(preset, "mean") else None
