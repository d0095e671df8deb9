"""What the tests against the originals share: random statistics, and mmdet's and mmseg's names of Swin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def randomise_statistics(net: nn.Module, images: Tensor) -> None:
    """Let batch norms take their statistics from ``images``, and their affine from chance."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    net.train()
    for norm in norms:
        norm.train().momentum = 1.0  # mmdet's norm_eval keeps them in eval mode
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    with torch.no_grad():
        net(images)
    net.eval()


def largest_difference(ours: Any, theirs: Any) -> float:
    """Largest absolute difference over all tensors."""
    assert len(ours) == len(theirs)
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


def swin_names(
    state: Mapping[str, Tensor], norms: str = "neck.norms", neck: str = "neck"
) -> dict[str, Tensor]:
    """The tensors of a model with mmdet's or mmseg's Swin under the names of ours, which are timm's.

    Their norms of the maps are a neck here, called ``norms``; what they call neck is ``neck`` here. Their
    ``relative_position_index`` is no weight: it follows from the window.
    """
    renamed = {}
    for full, value in state.items():
        part, _, name = full.partition(".")
        if part != "backbone":
            renamed[f"{neck}.{name}" if part == "neck" else full] = value
        elif name.startswith("norm"):
            renamed[f"{norms}.{name.removeprefix('norm')}"] = value
        elif not name.endswith("relative_position_index"):
            name, value = _as_timm(name, value)
            renamed[f"backbone.{name}"] = value
    return renamed


def _as_timm(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Theirs merge patches at the end of a stage, channels first; timm before the next one, columns first."""
    parts = name.split(".")
    if parts[0] == "patch_embed":
        return name.replace("projection", "proj"), value
    if parts[2] == "downsample":
        quarter = value.shape[-1] // 4
        order = torch.arange(4 * quarter).view(quarter, 2, 2).permute(2, 1, 0).flatten()
        return f"layers.{int(parts[1]) + 1}.{'.'.join(parts[2:])}", value[..., order]
    for old, new in (("attn.w_msa", "attn"), ("ffn.layers.0.0", "mlp.fc1"), ("ffn.layers.1", "mlp.fc2")):
        name = name.replace(old, new)
    return name.replace("stages", "layers"), value
