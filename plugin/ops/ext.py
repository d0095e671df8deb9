"""The stand-in for ``mmcv._ext``: mmcv's operators from torch and torchvision, on CPU and CUDA.

mmcv's Python side allocates the outputs and calls a compiled function that fills them; forward and
backward are separate functions. :data:`OPERATORS` names the ones computed here and the file each is
in. Every operator that mmdet 3.3 and mmseg 1.2 reach is among them. Any other exists as an attribute,
since mmcv asks for it when it is imported, and raises :class:`MissingOperatorError` when it is called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from types import ModuleType
from typing import Any

from ..errors import InputError

# operator of mmcv._ext -> the file in this folder that has a function of this name
OPERATORS = {
    "bbox_overlaps": "boxes",
    "carafe_backward": "carafe",
    "carafe_forward": "carafe",
    "carafe_naive_backward": "carafe",
    "carafe_naive_forward": "carafe",
    "deform_conv_backward_input": "deform_conv",
    "deform_conv_backward_parameters": "deform_conv",
    "deform_conv_forward": "deform_conv",
    "deform_roi_pool_backward": "deform_roi_pool",
    "deform_roi_pool_forward": "deform_roi_pool",
    "get_compiler_version": "info",
    "get_compiling_cuda_version": "info",
    "masked_col2im_forward": "masked_conv",
    "masked_im2col_forward": "masked_conv",
    "modulated_deform_conv_backward": "deform_conv",
    "modulated_deform_conv_forward": "deform_conv",
    "ms_deform_attn_backward": "deform_attn",
    "ms_deform_attn_forward": "deform_attn",
    "nms": "nms",
    "nms_match": "nms",
    "psamask_backward": "psa_mask",
    "psamask_forward": "psa_mask",
    "roi_align_backward": "roi_align",
    "roi_align_forward": "roi_align",
    "roi_pool_backward": "roi_pool",
    "roi_pool_forward": "roi_pool",
    "sigmoid_focal_loss_backward": "focal_loss",
    "sigmoid_focal_loss_forward": "focal_loss",
    "softmax_focal_loss_backward": "focal_loss",
    "softmax_focal_loss_forward": "focal_loss",
    "softnms": "nms",
    "sync_bn_backward_data": "sync_bn",
    "sync_bn_backward_param": "sync_bn",
    "sync_bn_forward_mean": "sync_bn",
    "sync_bn_forward_output": "sync_bn",
    "sync_bn_forward_var": "sync_bn",
}


class MissingOperatorError(InputError, NotImplementedError):
    """A config uses an operator of mmcv that only compiled mmcv has."""


def operator(name: str) -> Callable[..., Any]:
    """The function for ``name``, its file imported now; one that raises where there is none.

    Autograd and autocast are off inside it, as inside a compiled operator: mmcv's autograd functions
    call the backward themselves, and autocast would narrow the matrix products.
    """
    if name not in OPERATORS:
        return _missing(name)
    import torch

    function = getattr(import_module(f".{OPERATORS[name]}", __package__), name)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        device = next((a.device.type for a in args if isinstance(a, torch.Tensor)), "cpu")
        plain = nullcontext() if device == "meta" else torch.autocast(device, enabled=False)
        with torch.no_grad(), plain:
            return function(*args, **kwargs)

    return call


def fill(module: ModuleType) -> None:
    """Give ``module`` every operator by name, each imported when it is first asked for."""

    def __getattr__(name: str) -> Any:  # noqa: N807 (PEP 562)
        if name.startswith("_"):
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        setattr(module, name, operator(name))
        return module.__dict__[name]

    module.__doc__ = __doc__
    module.__dict__["__getattr__"] = __getattr__
    module.__dict__["__dir__"] = lambda: sorted(OPERATORS)


def _missing(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise MissingOperatorError(
            f"mmcv's operator '{name}' is not among those that mmbackbones computes without a compiler. "
            f"Compiled mmcv has it: replace mmcv-lite by mmcv 2.1.0, built for your torch "
            f"(pip uninstall mmcv-lite; pip install mmcv==2.1.0)."
        )

    refuse.__name__ = name
    return refuse
