"""The number format in which operators compute."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(tensor: Tensor) -> Tensor:
    """``tensor`` in float32 if it is float16 or bfloat16, itself otherwise."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
