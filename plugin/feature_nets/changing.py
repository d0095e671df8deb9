"""The network that a backbone holds, made of the one that was opened: cut, converted, checkpointed."""

from __future__ import annotations

from typing import Any

from ..sources import FeatureNet
from ..surgery.checkpointing import add_checkpoints
from ..surgery.norms import convert_norms
from ..surgery.pruning import prune
from ..tracing.trace import Trace


def cut_and_convert(
    feature_net: FeatureNet,
    asked: Trace,
    in_channels: int,
    norm_cfg: dict[str, Any] | None,
    with_cp: bool,
    name: str,
) -> None:
    """Cut and convert the network in place; what no asked map depends on does not train.

    Args:
        feature_net: The network, dilated if it shall be.
        asked: The record of a run for the asked maps only.
        in_channels: Channels of the image.
        norm_cfg: What replaces every batch norm, if anything.
        with_cp: Whether blocks are computed again in the backward pass.
        name: How messages call the network.

    Raises:
        InputError: ``norm_cfg`` for a network without batch norm.
    """
    net, needed = feature_net.net, asked.needed
    prune(feature_net, asked, in_channels)
    if norm_cfg is not None:
        convert_norms(net, norm_cfg, name)
    for key, param in net.named_parameters():
        if key not in needed:
            param.requires_grad_(False)
    if with_cp:
        add_checkpoints(net, asked)
