"""Output stride for any convolutional network, by the algorithme a trous (arXiv 1412.7062, sec. 3.1).

A layer that would reduce the map below the asked stride keeps stride 1, and every later layer reads
its input at the distance that was saved. The dilated map sampled at every d-th cell then equals the
ordinary map exactly; what reads the whole map at once (the mean in an SE gate, group norm) sees a
denser map, so there the equality holds with that operation held fixed.

Which layer needs what follows from one number, the reduction of its input in the undilated net.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ..errors import InputError
from ..sources.cells import ceil_div
from ..tracing.trace import Trace
from .padding import both_sides

OUTPUT_STRIDES = (8, 16, 32)


class Reach:
    """How far a window that reads every ``factor``-th cell reaches beyond its map.

    The map keeps its size where that of the undilated net is ``ceil(size / stride)``. Where the undilated
    net loses cells (unpadded windows) the map ends with the last one that is left, so that the maps of
    branches side by side have one size; unless they are to be kept.
    """

    def __init__(self, module: Any, factor: int, original: bool) -> None:
        names = ("kernel_size", "stride", "padding", "dilation")
        self.sides = tuple(zip(*(both_sides(getattr(module, name, 1)) for name in names), strict=True))
        self.factor, self.original = factor, original
        self.ceil = getattr(module, "ceil_mode", False)

    def pads(self, x: Tensor) -> tuple[int, ...]:
        """Cells (left, right, top, bottom) to add to ``x``; negative ones are cut off."""
        pads: list[int] = []
        for size, (kernel, stride, padding, dilation) in zip(x.shape[-2:], self.sides, strict=True):
            span = (kernel - 1) * dilation
            after = (span - padding) * self.factor
            if self.original:
                ordinary = ceil_div(size, self.factor)
                cells = self._cells(ordinary, span, stride, padding)
                if cells != ceil_div(ordinary, stride):
                    after = ((cells - 1) * stride - padding + span) * self.factor - (size - 1)
            pads = [padding * self.factor, after, *pads]
        return tuple(pads)

    def _cells(self, cells: int, span: int, stride: int, padding: int) -> int:
        """Cells of the undilated net's next map; with ``ceil_mode`` a window must begin before its end."""
        room = cells + 2 * padding - span - 1
        if not self.ceil:
            return room // stride + 1
        return min(ceil_div(room, stride), (cells + padding - 1) // stride) + 1


class AtrousConv2d(nn.Conv2d):
    """A convolution whose map is padded by what its window reaches; stride 1, no padding of its own."""

    reach: Reach

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W), less what the undilated net loses."""
        return super().forward(F.pad(x, self.reach.pads(x)))


class AtrousMaxPool2d(nn.MaxPool2d):
    """Max pooling likewise; what lies beyond the map never is the largest."""

    reach: Reach

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W), less what the undilated net loses."""
        return super().forward(F.pad(x, self.reach.pads(x), value=-torch.inf))


class AtrousSameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding, which depends on the map's size, at stride 1.

    Padding is that of the undilated net: ``ceil(size / undilated_stride)`` cells, the odd cell of padding
    at the end. Here it is counted on the map that the undilated net would have, and spread by ``factor``.
    """

    factor: int
    undilated_stride: int

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        pads: list[int] = []
        for size, kernel, dilation in zip(x.shape[-2:], self.kernel_size, self.dilation, strict=True):
            span = (kernel - 1) * dilation // self.factor
            ordinary = ceil_div(size, self.factor)
            last = (ceil_div(ordinary, self.undilated_stride) - 1) * self.undilated_stride
            before = max(last + span + 1 - ordinary, 0) // 2 * self.factor
            pads = [before, span * self.factor - before, *pads]
        return super().forward(F.pad(x, pads))


class AtrousAvgPool2d(nn.Module):
    """Average pooling at stride 1 whose samples lie ``dilation`` cells apart.

    Cells beyond the border count as torch's ``AvgPool2d`` counts them: with ``count_include_pad``
    the padding enters as zeros, what lies beyond the padding (``ceil_mode``) never counts.
    """

    def __init__(self, pool: nn.AvgPool2d, dilation: int, original: bool = False) -> None:
        super().__init__()
        self.kernel = both_sides(pool.kernel_size)
        self.reach = Reach(pool, dilation, original)
        self.dilation, self.include_pad = dilation, pool.count_include_pad
        self.divisor = pool.divisor_override

    def forward(self, x: Tensor) -> Tensor:
        pad = self.reach.pads(x)
        left, right, top, bottom = pad
        window = x.new_ones(x.shape[1], 1, *self.kernel)
        total = F.conv2d(F.pad(x, pad), window, dilation=self.dilation, groups=x.shape[1])
        if self.divisor:
            return total / self.divisor
        ones = x.new_ones(1, 1, *x.shape[-2:])
        if self.include_pad:
            ones = F.pad(ones, (left, left, top, top), value=1.0)
            pad = (0, right - left, 0, bottom - top)
        count = F.conv2d(F.pad(ones, pad), window[:1], dilation=self.dilation)
        return total / count


def dilate(net: nn.Module, trace: Trace, output_stride: int, *, original: bool = False) -> None:
    """Change strides beyond ``output_stride`` into dilations, in place. Weights stay as they are.

    Args:
        net: The network, freshly built.
        trace: Its record with all maps.
        output_stride: 8, 16 or 32.
        original: Whether windows keep the padding of their authors, and maps lose the cells that those of
            the undilated net lose; otherwise every map has ``ceil(size / stride)`` cells.

    Raises:
        InputError: a layer behind that stride is of a kind that cannot be dilated.
    """
    from timm.layers import Conv2dSame

    for path, reduction in trace.reductions.items():
        module: Any = net.get_submodule(path)
        stride = max(both_sides(getattr(module, "stride", None) or 1))
        factor = max(1, reduction // output_stride)
        keep = max(1, min(stride, output_stride // max(1, reduction)))
        pointwise = max(both_sides(getattr(module, "kernel_size", None) or 1)) == 1
        if keep == stride and (factor == 1 or pointwise):
            continue
        if type(module) is Conv2dSame and keep == 1:
            module.dilation = tuple(d * factor for d in module.dilation)
            _become(module, AtrousSameConv2d, factor=factor, undilated_stride=stride)
        elif _takes_dilation(module, original):
            _dilate_window(module, factor, keep, original)
        elif type(module) is nn.AvgPool2d:
            parent, _, child = path.rpartition(".")
            setattr(net.get_submodule(parent), child, AtrousAvgPool2d(module, factor, original))
        elif stride > 1 or not pointwise:
            raise InputError(
                f"output_stride={output_stride} is not possible: '{path}' ({type(module).__name__}) "
                f"reads or steps over cells and cannot be dilated. Use a stride-32 head, or a ResNet."
            )


def _takes_dilation(module: nn.Module, original: bool) -> bool:
    """Whether ``module`` is a convolution or max pool that can be told another stride and dilation.

    A convolution's own forward (weight standardisation) reads them too, but cannot be given other padding.
    """
    if not isinstance(module, nn.Conv2d):
        return type(module) is nn.MaxPool2d
    if isinstance(module.padding, str):
        return False
    plain = type(module).forward is nn.Conv2d.forward
    return plain or (not original and _is_centred(module))


def _is_centred(module: Any) -> bool:
    """Whether the padding of a window is half of what it spans."""
    sides = (both_sides(value) for value in (module.kernel_size, module.padding, module.dilation))
    return all((k - 1) * d == 2 * p for k, p, d in zip(*sides, strict=True))


def _dilate_window(module: Any, factor: int, keep: int, original: bool) -> None:
    """Give a convolution or max pool the stride ``keep`` and ``factor`` times its dilation.

    Padding that the layer cannot have (more on one side, or more than a pool allows) is put before it.
    """
    reach, centred = Reach(module, factor, original), _is_centred(module)
    module.stride = (keep, keep)
    module.dilation = tuple(d * factor for d in both_sides(module.dilation))
    module.padding = tuple(p * factor for p in both_sides(module.padding))
    pool = isinstance(module, nn.MaxPool2d)
    if pool:
        module.ceil_mode = False
    if keep == 1 and (pool or original or not centred):
        _become(module, AtrousMaxPool2d if pool else AtrousConv2d, reach=reach)


def _become(module: Any, kind: type[nn.Module], **attributes: Any) -> None:
    """Change the class of ``module``, which has no padding of its own then and stride 1.

    It is no wrapper and no hook, so it keeps its name, its weights and its place wherever it is called from.
    """
    module.stride, module.padding = (1, 1), (0, 0)
    module.__class__ = kind
    for name, value in attributes.items():
        setattr(module, name, value)
