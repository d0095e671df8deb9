"""Convolution blocks with the parameter names of mmcv's ConvModule, so that weights exchange."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.modules import activation

from ..errors import InputError, nearest
from ..norms import FrozenBatchNorm2d, LocalSyncBatchNorm, check_norm_cfg

Config = Mapping[str, Any]

# norm_cfg's type -> (the layer's name in the state dict, the layer's class)
_NORMS: dict[str, tuple[str, type[nn.Module]]] = {
    "BN": ("bn", nn.BatchNorm2d),
    "SyncBN": ("bn", LocalSyncBatchNorm),
    "FrozenBN": ("bn", FrozenBatchNorm2d),
    "GN": ("gn", nn.GroupNorm),
}


def conv_block(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    norm_cfg: Config | None = None,
    act_cfg: Config | None = None,
) -> nn.Sequential:
    """Convolution, normalisation, activation: ``(N, in, H, W)`` to ``(N, out, ceil(H/s), ceil(W/s))``.

    Args:
        in_channels: channels that arrive.
        out_channels: channels that leave.
        kernel_size: window of the convolution, odd; padded by half of it.
        stride: stride ``s`` of the convolution.
        norm_cfg: None (the convolution then has a bias), or a dict with ``type`` BN, SyncBN, FrozenBN
            or GN and the layer's arguments; ``requires_grad=False`` freezes its affine parameters.
        act_cfg: None, or a dict with ``type``, an activation of ``torch.nn``, and its arguments.

    Raises:
        InputError: a type or an option of norm_cfg, or the type of act_cfg, that nobody knows.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv"] = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=norm_cfg is None
    )
    if norm_cfg is not None:
        name, norm = _norm(dict(norm_cfg), out_channels)
        layers[name] = norm
    if act_cfg is not None:
        layers["activate"] = _activation(dict(act_cfg))
    return nn.Sequential(layers)


def _norm(args: dict[str, Any], channels: int) -> tuple[str, nn.Module]:
    check_norm_cfg(args)
    name, kind = _NORMS[args.pop("type")]
    trainable = args.pop("requires_grad", True)
    sizes = (args.pop("num_groups", 32), channels) if kind is nn.GroupNorm else (channels,)
    return name, kind(*sizes, **args).requires_grad_(trainable)


def _activation(args: dict[str, Any]) -> nn.Module:
    kind = args.pop("type", None)
    if kind not in activation.__all__:
        near = nearest(str(kind), activation.__all__) or activation.__all__
        raise InputError(f"act_cfg has type={kind!r}. Allowed are torch.nn's activations: {', '.join(near)}.")
    return getattr(nn, kind)(**args)
