"""Mixed precision: which type the device has, and a training in bfloat16 on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from ..errors import InputError
from ..registry import OPTIM_WRAPPERS

#: Words of ``--amp``; a bare one means auto.
PRECISIONS = ("auto", "bf16", "fp16")
_OPTIONS_OF_FP16 = ("loss_scale", "dtype", "use_fsdp")


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Runs the forward pass in bfloat16 by torch's autocast, on the device where the model is.

    It needs no loss scaling, as bfloat16 has the range of float32. mmengine's ``AmpOptimWrapper`` scales, and
    refuses a CPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


def choose_precision(asked: str, device: str) -> str:
    """``bf16`` or ``fp16``: what was asked for, or of ``auto`` bf16 where the device has it.

    Args:
        asked: one of :data:`PRECISIONS`.
        device: ``cpu`` or ``cuda``.

    Raises:
        InputError: another word, or a type that the device does not have.
    """
    if asked not in PRECISIONS:
        raise InputError(f"--amp '{asked}' is unknown; use one of {', '.join(PRECISIONS)}, or --amp alone.")
    has_bf16 = device != "cuda" or torch.cuda.get_device_capability() >= (8, 0)
    if asked == "auto":
        return "bf16" if has_bf16 else "fp16"
    if asked == "fp16" and device == "cpu":
        raise InputError("--amp fp16 needs a CUDA device: its loss scaling has no CPU form. Use --amp bf16.")
    if asked == "bf16" and not has_bf16:
        raise InputError("--amp bf16 needs a GPU of compute capability 8.0 or higher. Use --amp fp16.")
    return asked


def use_precision(cfg: Config, precision: str) -> str:
    """Put mixed precision into ``cfg``; returns what to tell the user.

    Args:
        cfg: a config with ``optim_wrapper``.
        precision: ``bf16`` or ``fp16``.
    """
    wrapper: dict[str, Any] = cfg.optim_wrapper
    if precision == "bf16":
        for name in _OPTIONS_OF_FP16:
            wrapper.pop(name, None)
        wrapper["type"] = "mmbackbones.BFloat16OptimWrapper"
        return "mixed precision: bfloat16"
    wrapper |= {"type": "AmpOptimWrapper", "dtype": "float16"}
    wrapper.setdefault("loss_scale", "dynamic")
    return "mixed precision: float16 with loss scaling"
