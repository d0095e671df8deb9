"""Convolution at masked places only: its two copies, from image to columns and back.

Guided Anchoring (arXiv 1901.03278) uses it at inference; mmcv defines no gradient for it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_im2col_forward(
    features: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    data_col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Fill ``data_col`` (C * kernel_h * kernel_w, M) with the windows of ``features`` (1, C, H, W).

    ``mask_h_idx`` and ``mask_w_idx`` (M,) are the rows and columns of the windows' outputs.
    """
    padded = F.pad(features[0], (pad_w, pad_w, pad_h, pad_h))
    rows = torch.arange(kernel_h, device=features.device)[:, None, None] + mask_h_idx
    columns = torch.arange(kernel_w, device=features.device)[None, :, None] + mask_w_idx
    data_col.copy_(padded[:, rows, columns].reshape(data_col.shape))


def masked_col2im_forward(
    masked_output: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    output: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write the columns ``masked_output`` (channels, M) at their places in ``output``.

    ``output`` is ``(1, channels, height, width)``; what is not masked stays as it is.
    """
    output[0][:, mask_h_idx, mask_w_idx] = masked_output
