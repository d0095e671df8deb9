"""Convolution blocks with the parameter names of mmcv's ConvModule, so that weights exchange."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.nn.modules import activation

from ..errors import InputError, nearest
from ..surgery.norms import FrozenBatchNorm2d, LocalSyncBatchNorm, check_norm_cfg

Config = Mapping[str, Any]


def _layer_norm(channels: int, eps: float = 1e-6) -> nn.Module:
    from timm.layers import LayerNorm2d

    return LayerNorm2d(channels, eps)


# norm_cfg's type -> (the layer's name in the state dict, what builds the layer)
_NORMS: dict[str, tuple[str, Callable[..., nn.Module]]] = {
    "BN": ("bn", nn.BatchNorm2d),
    "SyncBN": ("bn", LocalSyncBatchNorm),
    "GN": ("gn", nn.GroupNorm),
    "FrozenBN": ("bn", FrozenBatchNorm2d),
    "LN": ("ln", _layer_norm),
}


def conv_block(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    norm_cfg: Config | None = None,
    act_cfg: Config | None = None,
    bias: bool = False,
) -> nn.Sequential:
    """Convolution, normalisation, activation: ``(N, in, H, W)`` to ``(N, out, ceil(H/s), ceil(W/s))``.

    Args:
        in_channels: channels that arrive.
        out_channels: channels that leave.
        kernel_size: window of the convolution, odd; padded by half of it.
        stride: stride ``s`` of the convolution.
        norm_cfg: None (the convolution then has a bias), or a dict with ``type`` BN, SyncBN, GN,
            FrozenBN or LN and the layer's arguments; ``requires_grad=False`` freezes its affine
            parameters.
        act_cfg: None, or a dict with ``type``, an activation of ``torch.nn``, and its arguments.
        bias: whether the convolution has a bias before a normalisation too.

    Raises:
        InputError: a type or an option of norm_cfg, or the type of act_cfg, that nobody knows.
    """
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias or norm_cfg is None
    )
    return block(conv, out_channels, norm_cfg, act_cfg)


def block(
    conv: nn.Module, out_channels: int, norm_cfg: Config | None = None, act_cfg: Config | None = None
) -> nn.Sequential:
    """``conv`` as it is, then normalisation and activation as in ``conv_block``."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
    if norm_cfg is not None:
        name, norm = norm_layer(norm_cfg, out_channels)
        layers[name] = norm
    if act_cfg is not None:
        layers["activate"] = activation_layer(act_cfg)
    return nn.Sequential(layers)


def norm_layer(norm_cfg: Config, channels: int) -> tuple[str, nn.Module]:
    """A normalisation of ``channels``, with the name that it has in mmcv's state dicts.

    Raises:
        InputError: a type or an option that nobody knows, or channels that GN cannot cut into groups.
    """
    args = dict(norm_cfg)
    if args.get("type") not in _NORMS:
        raise InputError(f"norm_cfg type {args.get('type')!r} is unknown. Allowed: {', '.join(_NORMS)}.")
    if args["type"] != "LN":
        check_norm_cfg(args)
    elif unknown := sorted(set(args) - {"type", "requires_grad", "eps"}):
        raise InputError(f"norm_cfg of LN has no {unknown}. Allowed: eps, requires_grad, type.")
    name, kind = _NORMS[args.pop("type")]
    trainable = args.pop("requires_grad", True)
    sizes: tuple[int, ...] = (channels,)
    if kind is nn.GroupNorm:
        sizes = (args.pop("num_groups", 32), channels)
        if channels % sizes[0]:
            raise InputError(
                f"GN cannot cut {channels} channels into num_groups={sizes[0]}: write a divisor of "
                f"{channels}, as norm_cfg=dict(type='GN', num_groups=...)."
            )
    return name, kind(*sizes, **args).requires_grad_(trainable)


def activation_layer(act_cfg: Config) -> nn.Module:
    """The activation of ``torch.nn`` that ``act_cfg`` names.

    Raises:
        InputError: torch has no such activation.
    """
    args = dict(act_cfg)
    kind = args.pop("type", None)
    if kind not in activation.__all__:
        near = nearest(str(kind), activation.__all__) or activation.__all__
        raise InputError(f"act_cfg has type={kind!r}. Allowed are torch.nn's activations: {', '.join(near)}.")
    return getattr(nn, kind)(**args)
