"""Models as they run faster, without being asked: another memory format, folded norms, fused steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..backbone import Backbone
from ..surgery.constant_norms import join_constant_norms
from ..surgery.folding import fold_modules, folded
from ..surgery.memory_format import lay_out, memory_format_for
from ..weights.loading import warn_user
from .explained import REFUSED, VIEWS


def use_faster_format(model: nn.Module, device: str) -> None:
    """Lay a model of mmdet or mmseg out, in place, as is faster for all backbones in it.

    A backbone that says ``memory_format`` has been laid out as it says, and decides for the model. A model
    with a module that takes only contiguous maps goes back to these when it meets the first, and says so.

    Args:
        model: With a part, or parts of parts, called ``backbone``.
        device: Type of the device that it will run on.
    """
    backbones = [part for name, part in model.named_modules() if name.rpartition(".")[2] == "backbone"]
    if not backbones or any(getattr(part, "memory_format", None) == "contiguous" for part in backbones):
        return
    if all(memory_format_for(part, device) is torch.channels_last for part in backbones):
        lay_out(model, torch.channels_last)
        model.forward = _OrContiguous(model)


class _OrContiguous:
    """The forward pass of a model in channels_last; of a contiguous one, once a module has refused a map."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.forward = model, model.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.forward(*args, **kwargs)
        except RuntimeError as error:
            if REFUSED not in str(error):
                raise
            lay_out(self.model, torch.contiguous_format)
            self.model.forward = self.forward
            warn_user(
                f"{VIEWS}: the model goes on in that. memory_format='contiguous' in the backbone's dict says "
                f"so from the start."
            )
        return self.forward(*args, **kwargs)


def join_norms(model: nn.Module) -> None:
    """Let this package's backbones in a model that trains apply constant batch norms with convolutions."""
    for part in model.modules():
        if isinstance(part, Backbone):
            join_constant_norms(part, part.in_channels)


def fold_norms(model: nn.Module) -> None:
    """Fold batch norms of a model that is only run from here on, in place; puts it into eval mode.

    Those of this package's backbones and of mmcv's ConvModules, where values stay within rounding.
    """
    model.eval()  # OpenMMLab's classes return None
    for name, part in list(model.named_modules()):
        if isinstance(part, Backbone) and name:
            parent, _, own = name.rpartition(".")
            model.get_submodule(parent)._modules[own] = folded(part, part.in_channels)
    fold_modules(model)


def take_fused_steps(wrapper: Any) -> None:
    """Let the optimiser of a model on the CPU do its step in one pass over memory, with the same values.

    torch's AdamW, Adam and SGD have such a form and do not take it by themselves: AdamW's step on ResNet-50
    takes a quarter of the time. A group whose ``fused`` or ``foreach`` the config sets is left alone.

    Args:
        wrapper: mmengine's ``OptimWrapper`` or ``OptimWrapperDict``.
    """
    for each in wrapper.values() if hasattr(wrapper, "optim_wrappers") else [wrapper]:
        optimizer = each.optimizer
        if type(optimizer) not in (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD):
            continue
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        if all(weight.device.type == "cpu" and weight.is_floating_point() for weight in weights):
            for group in (optimizer.defaults, *optimizer.param_groups):  # the defaults: for stages that thaw
                said = group.get("fused") is not None or group.get("foreach") is not None
                if not (said or group.get("differentiable") or group.get("capturable")):
                    group["fused"] = True
