"""Every vision backbone for mmdet and mmseg, with one contract.

>>> import mmbackbones
>>> net = mmbackbones.build("resnet50", frozen_stages=1)
>>> net.out_channels, net.out_strides
((256, 512, 1024, 2048), (4, 8, 16, 32))

Importing the package is cheap: it imports neither timm nor torchvision nor mmdet.
"""

from __future__ import annotations

from typing import Any

from .compose.base_names import install as _install_base_names
from .ops.finder import install as _install_mmcv_ops

__version__ = "0.1.0"
__all__ = [
    "InputError",
    "build",
    "for_smp",
    "for_torchvision",
    "get_spec",
    "list_backbones",
    "load",
    "pair",
    "recommend",
    "register_backbone",
    "swap",
]

_HOMES = {
    "InputError": "errors",
    "build": "backbone",
    "for_smp": "interop.smp",
    "for_torchvision": "interop.torchvision",
    "get_spec": "feature_nets.specs",
    "list_backbones": "feature_nets.listing",
    "load": "engine.load",
    "pair": "compose.pairing",
    "recommend": "advisor.recommend",
    "register_backbone": "catalog.own",
    "swap": "compose.swap",
}

_install_mmcv_ops()
_install_base_names()


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mmbackbones' has no attribute {name!r}")
    from importlib import import_module

    from .errors import naming_extras

    with naming_extras():
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
