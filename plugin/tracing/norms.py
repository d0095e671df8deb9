"""Which modules normalise, by their types."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

_TORCH = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
#: Files that hold normalisation layers only, some of which derive from none of torch's.
_TIMM = frozenset(
    f"timm.layers.{file}" for file in ("norm", "norm_act", "evo_norm", "filter_response_norm", "grn")
)
#: What every library's batch norm holds, frozen ones and those of mmcv's own kernels included.
_STATISTICS = {"running_mean", "running_var"}


def is_norm(module: nn.Module) -> bool:
    """Whether ``module`` is a batch, layer, group, instance, RMS or response norm of torch or timm, or any
    library's batch norm. A convolution with a norm inside is none: its weight is a convolution's."""
    return (
        isinstance(module, _TORCH)
        or module._buffers.keys() >= _STATISTICS
        or any(kind.__module__ in _TIMM for kind in type(module).__mro__)
    )
