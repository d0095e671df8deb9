"""Weights of a first convolution for another number of image channels than three."""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import InputError


def fit_input(value: Tensor, conv: nn.Module, in_channels: int, *, is_first: bool) -> Tensor | None:
    """``value``, the weight of a convolution that reads RGB, for ``in_channels``; None if it is not that.

    One channel gets the sum over RGB (a grey image has R = G = B); others repeat RGB, scaled so that
    a constant image gives what it gave before. Behind a space-to-depth layer (TResNet's) that holds for each
    place of its cells: there the channels are the innermost of what it stacks.

    Raises:
        InputError: the convolution standardises its weights, so that their sum and scale are lost.
    """
    own = conv.weight
    if not isinstance(own, Tensor) or value.ndim != 4 or own.ndim != 4 or own.shape[1] % in_channels:
        return None
    cells = own.shape[1] // in_channels
    if value.shape != (own.shape[0], 3 * cells, *own.shape[2:]) or (cells > 1 and not is_first):
        return None
    if _standardises(conv):
        raise InputError(
            f"in_channels={in_channels}: pretrained weights for 3 channels cannot be adapted, as the net's "
            f"first convolution ({type(conv).__name__}) standardises its weights, over the channels too. Use "
            f"in_channels=3, with a grey image repeated three times, or start without pretrained weights."
        )
    value = value.unflatten(1, (cells, 3))
    if in_channels == 1:
        return value.sum(dim=2)
    taken = [channel % 3 for channel in range(in_channels)]
    return value[:, :, taken].flatten(1, 2) * (3 / in_channels)


def _standardises(conv: nn.Module) -> bool:
    from timm.layers import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame

    return isinstance(conv, (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame))
