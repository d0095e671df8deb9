"""Multi-scale deformable attention (arXiv 2010.04159) by ``grid_sample``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import wide


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """The attended values ``(N, queries, heads * channels)``.

    Args:
        value: ``(N, keys, heads, channels)``, the levels one after the other.
        spatial_shapes: height and width of each level, ``(levels, 2)``.
        level_start_index: first key of each level, ``(levels,)``.
        sampling_locations: ``(N, queries, heads, levels, points, 2)``, x and y in [0, 1]; outside is 0.
        attention_weights: ``(N, queries, heads, levels, points)``.
        im2col_step: divides the work of the compiled operator; without meaning here.
    """
    result = _attend(wide(value), spatial_shapes, wide(sampling_locations), wide(attention_weights))
    return result.to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Fill the three gradients, by computing the attention once more under autograd."""
    inputs = [wide(t).detach().requires_grad_() for t in (value, sampling_locations, attention_weights)]
    with torch.enable_grad():
        result = _attend(inputs[0], spatial_shapes, inputs[1], inputs[2])
    gradients = torch.autograd.grad(result, inputs, wide(grad_output))
    for target, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True):
        target.copy_(gradient)


def _attend(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    n, _, heads, channels = value.shape
    queries = locations.shape[1]
    sizes = shapes.tolist()
    grid = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # (N * heads, queries, levels, points, 2)
    weight = weights.transpose(1, 2).flatten(0, 1)[:, None]  # (N * heads, 1, queries, levels, points)
    result = value.new_zeros((n * heads, channels, queries))
    for level, keys in enumerate(value.split([h * w for h, w in sizes], dim=1)):
        level_map = keys.permute(0, 2, 3, 1).reshape(n * heads, channels, *sizes[level])
        sampled = F.grid_sample(level_map, grid[:, :, level], padding_mode="zeros", align_corners=False)
        result = result + (sampled * weight[..., level, :]).sum(-1)
    return result.view(n, heads * channels, queries).transpose(1, 2).contiguous()
