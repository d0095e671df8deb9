"""Where a network comes from: each source turns a name into a :class:`FeatureNet` net."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from .feature_net import ChainNet, FeatureNet, bound_to

__all__ = ["ChainNet", "FeatureNet", "bound_to", "open_net"]


def has_net(source: str, upstream: str) -> bool:
    """Whether ``source`` (timm or torchvision) knows ``upstream``, built or not."""
    if source == "timm":
        import timm

        return bool(timm.is_model(upstream.split(".")[0]))
    if source == "torchvision":
        from torchvision import models

        return upstream in models.list_models(module=models)
    return False


def open_net(source: str, upstream: str, in_channels: int, net_kwargs: dict[str, Any]) -> FeatureNet:
    """Build ``upstream`` of ``source`` with fresh weights, without its classifier.

    Raises:
        InputError: the source has no such network, or refuses the arguments.
    """
    if source == "timm":
        from .timm import TimmNet

        return TimmNet(upstream, in_channels, net_kwargs)
    if source == "torchvision":
        from .torchvision import open_torchvision

        return open_torchvision(upstream, in_channels, net_kwargs)
    if source == "native":
        from .native import open_native

        return open_native(upstream, in_channels, net_kwargs)
    raise InputError(f"Unknown source '{source}'. Sources are: timm, torchvision, native.")
