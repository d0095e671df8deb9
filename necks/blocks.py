"""Convolution blocks with the parameter names of mmcv's ConvModule, so that weights exchange."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.modules import activation

from ..errors import InputError, nearest

Config = Mapping[str, Any]

# norm_cfg's type -> (the layer's name in the state dict, the layer's class)
_NORMS: dict[str, tuple[str, type[nn.Module]]] = {
    "BN": ("bn", nn.BatchNorm2d),
    "BN2d": ("bn", nn.BatchNorm2d),
    "SyncBN": ("bn", nn.SyncBatchNorm),
    "GN": ("gn", nn.GroupNorm),
}
_ACTIVATIONS = {name: getattr(nn, name) for name in activation.__all__}


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
        stride: stride of the convolution.
        norm_cfg: None (the convolution then has a bias), or a dict with ``type`` BN, SyncBN or GN
            and the layer's arguments; ``requires_grad=False`` freezes its affine parameters.
        act_cfg: None, or a dict with ``type``, an activation of ``torch.nn``, and its arguments.

    Raises:
        InputError: ``type`` is missing or unknown.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv"] = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=norm_cfg is None
    )
    if norm_cfg is not None:
        name, norm = _norm(dict(norm_cfg), out_channels)
        layers[name] = norm
    if act_cfg is not None:
        args = dict(act_cfg)
        layers["activate"] = _pick("act_cfg", args.pop("type", None), _ACTIVATIONS)(**args)
    return nn.Sequential(layers)


def _norm(args: dict[str, Any], channels: int) -> tuple[str, nn.Module]:
    name, kind = _pick("norm_cfg", args.pop("type", None), _NORMS)
    requires_grad = args.pop("requires_grad", True)
    args["num_channels" if kind is nn.GroupNorm else "num_features"] = channels
    return name, kind(**args).requires_grad_(requires_grad)


def _pick(argument: str, kind: Any, table: Mapping[str, Any]) -> Any:
    if kind not in table:
        names = nearest(str(kind), table) or sorted(table)
        raise InputError(f"{argument} has type={kind!r}: write one of {', '.join(names)}.")
    return table[kind]
