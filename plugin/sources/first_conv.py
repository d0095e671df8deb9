"""Another number of image channels for a network whose constructor has no argument for it."""

from __future__ import annotations

from torch import nn


def replace_first_conv(net: nn.Module, in_channels: int) -> None:
    """Put a convolution for ``in_channels`` in place of the first one, all else equal."""
    path, conv = next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(
        in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    parent, _, child = path.rpartition(".")
    setattr(net.get_submodule(parent), child, new)
