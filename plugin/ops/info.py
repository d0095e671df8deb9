"""What ``mmcv.utils.collect_env`` prints about the compiler."""

from __future__ import annotations

import torch
import torchvision


def get_compiler_version() -> str:
    """Says that there is no compiled module, and what computes instead."""
    return f"none (mmbackbones over torch {torch.__version__}, torchvision {torchvision.__version__})"


def get_compiling_cuda_version() -> str:
    """The CUDA version that torch was built with."""
    return torch.version.cuda or "not available"
