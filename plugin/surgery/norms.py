"""Change of normalisation (``norm_cfg``) without a change of parameter names."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import InputError

KINDS = ("BN", "SyncBN", "GN", "FrozenBN")
GROUPS = 32  #: of a group norm, where norm_cfg does not say (arXiv 1803.08494)
_OPTIONS = {
    "BN": {"eps", "momentum"},
    "SyncBN": {"eps", "momentum"},
    "GN": {"eps", "num_groups"},
    "FrozenBN": {"eps"},
}


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with constant statistics and affine, all buffers; keys as in ``nn.BatchNorm2d``.

    Not torchvision's: that writes the product out, so that its values differ from batch norm's in the last
    bits, a float16 or bfloat16 map comes out in float32, and an exported graph has no batch norm to fold.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class _LocalSync(_BatchNorm):
    """What ``SyncBatchNorm`` does, and plain batch norm where there is nobody to synchronise with.

    torch's own refuses CPU tensors as soon as a process group exists: there the sums are exchanged by
    differentiable all-reduces, so that values and gradients are those of one batch norm over the joint batch.
    """

    process_group: Any = None
    _check_non_zero_input_channels = nn.SyncBatchNorm._check_non_zero_input_channels

    def forward(self, x: Tensor) -> Tensor:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if self.training and distributed and torch.distributed.get_world_size(self.process_group) > 1:
            if x.device.type == "cpu":
                return self._joint(x)
            return nn.SyncBatchNorm.forward(self, x)  # type: ignore[arg-type]  # it needs no more than this
        return _BatchNorm.forward(self, x)

    def _joint(self, x: Tensor) -> Tensor:
        """Batch norm with the mean and variance of the batches of all processes, which may differ in size."""
        shape = (1, -1, *[1] * (x.ndim - 2))
        axes = [0, *range(2, x.ndim)]
        own = x.to(self.weight.dtype if self.affine else torch.float32)
        cells = own.new_tensor([x.numel() // x.shape[1]])
        cells, total = self._summed(torch.cat([cells, own.sum(axes)])).split([1, x.shape[1]])
        mean = total / cells
        variance = self._summed((own - mean.view(shape)).square().sum(axes)) / cells
        if self.track_running_stats:
            self._update(mean.detach(), (variance * cells / (cells - 1)).detach())
        out = (own - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(x.dtype)

    def _summed(self, values: Tensor) -> Tensor:
        from torch.distributed.nn.functional import all_reduce

        group = self.process_group or torch.distributed.group.WORLD
        summed: Tensor = all_reduce(values, group=group)
        return summed

    def _update(self, mean: Tensor, variance: Tensor) -> None:
        tracked: Any = self
        tracked.num_batches_tracked.add_(1)
        step = 1 / int(tracked.num_batches_tracked) if self.momentum is None else self.momentum
        tracked.running_mean.lerp_(mean, step)
        tracked.running_var.lerp_(variance, step)

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"SyncBN expects (N, C, ...), got {x.ndim} dimensions")


class LocalSyncBatchNorm(_LocalSync, nn.SyncBatchNorm):
    """``SyncBatchNorm`` that is plain batch norm where there is nobody to synchronise with."""


class _WithAct(nn.Module):
    """Mixed into a norm that replaces timm's batch norm with drop-out and activation inside."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))


class _FrozenAct(_WithAct, FrozenBatchNorm2d): ...


class _SyncAct(_WithAct, _LocalSync):
    """Not a ``SyncBatchNorm``: in the place of those mmengine's ``revert_sync_batchnorm``, which mmdet and
    mmseg call for inference, puts a norm without the activation."""


class _GroupAct(_WithAct, nn.GroupNorm): ...


_WITH_ACT: dict[type[nn.Module], type[nn.Module]] = {
    FrozenBatchNorm2d: _FrozenAct,
    LocalSyncBatchNorm: _SyncAct,
    nn.GroupNorm: _GroupAct,
}


def check_norm_cfg(norm_cfg: dict[str, Any]) -> None:
    """Raises InputError for a type or an option that ``norm_cfg`` does not know."""
    kind = norm_cfg.get("type")
    if kind not in KINDS:
        raise InputError(f"norm_cfg type {kind!r} is unknown. Allowed: {', '.join(KINDS)}.")
    unknown = set(norm_cfg) - {"type", "requires_grad"} - _OPTIONS[kind]
    if unknown:
        allowed = sorted(_OPTIONS[kind] | {"type", "requires_grad"})
        raise InputError(f"norm_cfg of {kind} has no {sorted(unknown)}. Allowed: {', '.join(allowed)}.")


def convert_norms(net: nn.Module, norm_cfg: dict[str, Any], name: str) -> None:
    """Replace every batch norm of ``net``, called ``name``, in place as ``norm_cfg`` says; weights are kept.

    ``requires_grad=False`` in ``norm_cfg`` stops the affine parameters from training, as in mmcv.

    Raises:
        InputError: the network has no batch norm, or its channels cannot be cut into groups.
    """
    check_norm_cfg(norm_cfg)
    options = {k: v for k, v in norm_cfg.items() if k not in ("type", "requires_grad")}
    found = [(path, m) for path, m in net.named_modules() if isinstance(m, _BatchNorm)]
    if not found:
        raise InputError(
            f"'{name}' has no batch norm that norm_cfg={norm_cfg} could replace. Leave norm_cfg out."
        )
    if norm_cfg["type"] == "GN":
        _check_groups(norm_cfg.get("num_groups", GROUPS), {old.num_features for _, old in found})
    for path, old in found:
        new = old if norm_cfg["type"] == "BN" else _replacement(old, norm_cfg["type"], options)
        for option in options if new is old else ():
            setattr(old, option, options[option])
        for param in new.parameters(recurse=False):
            param.requires_grad_(bool(norm_cfg.get("requires_grad", True)))
        parent, _, child = path.rpartition(".")
        setattr(net.get_submodule(parent), child, new)


def _check_groups(groups: int, widths: set[int]) -> None:
    """Raises InputError unless ``groups`` divides the channels of all norms; names the largest that does."""
    whole = isinstance(groups, int) and not isinstance(groups, bool) and groups > 0
    wrong = sorted(width for width in widths if not whole or width % groups)
    if wrong:
        common = math.gcd(*widths)
        fits = max(number for number in range(1, min(common, GROUPS) + 1) if common % number == 0)
        raise InputError(
            f"GN cannot cut {', '.join(map(str, wrong))} channels into num_groups={groups!r}. All layers of "
            f"this net take the divisors of {common}: write num_groups={fits}."
        )


def _replacement(old: _BatchNorm, kind: str, options: dict[str, Any]) -> nn.Module:
    """A norm of ``kind`` with the weights, activation and mode of ``old``."""
    channels = old.num_features
    arguments: dict[str, Any] = {"eps": old.eps, **options}
    base: type[nn.Module]
    if kind == "GN":
        groups = arguments.pop("num_groups", GROUPS)
        base = nn.GroupNorm
        positional: tuple[int, ...] = (groups, channels)
    else:
        base = FrozenBatchNorm2d if kind == "FrozenBN" else LocalSyncBatchNorm
        positional = (channels,)
        if kind == "SyncBN":
            arguments.setdefault("momentum", old.momentum)
    with_act = hasattr(old, "act") and hasattr(old, "drop")
    new = (_WITH_ACT[base] if with_act else base)(*positional, **arguments)
    if with_act:
        new.drop, new.act = old.drop, old.act
    own = new.state_dict()
    new.load_state_dict({key: value for key, value in old.state_dict().items() if key in own}, strict=False)
    return new.train(old.training)
