"""Networks written here, because neither timm nor torchvision has them: ``mmbackbones.native``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import InputError
from .feature_net import ChainNet


def open_native(upstream: str, in_channels: int, net_kwargs: dict[str, Any]) -> ChainNet:
    """Build ``<file>.<function>`` of ``mmbackbones.native``, e.g. ``lenet.lenet5``.

    The function takes ``in_channels`` next to its own arguments and returns a module without classifier
    whose ``steps`` name its submodules in order of execution.

    Raises:
        InputError: no such function, or it refuses ``net_kwargs``.
    """
    file, _, function = upstream.partition(".")
    try:
        builder = getattr(import_module(f"mmbackbones.native.{file}"), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise InputError(f"mmbackbones.native has no network '{upstream}'.") from error
    try:
        net = builder(in_channels=in_channels, **net_kwargs)
    except TypeError as error:
        raise InputError(f"'{upstream}' refuses net_kwargs={net_kwargs}: {error}") from error
    return ChainNet(net, net.steps)
