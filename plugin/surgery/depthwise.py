"""Depthwise convolutions whose gradients are forward convolutions, where those are faster on CPUs.

The gradient of a kernel's cell is the correlation of the input with the output's gradient. So all of them
together are a depthwise convolution of the input, with that gradient as its kernel: the padding stays, stride
and dilation change places. oneDNN has fast kernels for the gradient of up to three columns; from four on its
forward convolution takes a half to a fiftieth of the time.

The gradient of a strided convolution's input is a convolution of the output's gradient, with zeros between
its cells, by the kernel turned around. oneDNN's own is slow in bfloat16, by a factor of ten to eighty.

``python -m mmbackbones.bench.depthwise`` measures both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

WIDE = 4  # columns of a kernel

Pair = tuple[int, int]


def take_quick_gradients(model: nn.Module) -> int:
    """Let the depthwise convolutions of ``model`` that are wide or stride take quick gradients, in place.

    They are taken where a weight on a CPU learns, in compiled programs too; all else is torch's. Values are
    torch's within rounding; under autocast those of wide kernels are summed over the images in float32, where
    torch's are not. A gradient of the gradient (``create_graph``) is an error.

    Returns:
        How many convolutions.
    """
    found = 0
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and _is_quick(module):
            quick = QuickConvolution(module.stride, module.padding, module.dilation)  # type: ignore[arg-type]
            module._conv_forward = quick  # type: ignore[method-assign]
            found += 1
    return found


def _is_quick(conv: nn.Conv2d) -> bool:
    depthwise = 1 < conv.groups == conv.in_channels == conv.out_channels
    zeros = conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    return depthwise and zeros and (conv.kernel_size[1] >= WIDE or max(conv.stride) > 1)


@dataclass(frozen=True)
class QuickConvolution:
    """What such a module calls with ``(input, weight, bias)`` in place of torch's function.

    An object that does not know its module, as copies and folded forms of that share it.
    """

    stride: Pair
    padding: Pair
    dilation: Pair

    def __call__(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002 (torch's)
        places = (self.stride, self.padding, self.dilation)
        learns = torch.is_grad_enabled() and weight.requires_grad
        if learns and input.device.type == "cpu" and input.dim() == 4 and input.shape[0]:
            output: Tensor = _Depthwise.apply(input, weight, bias, *places)
            return output
        return F.conv2d(input, weight, bias, *places, groups=len(weight))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        input: Tensor,  # noqa: A002
        weight: Tensor,
        bias: Tensor | None,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
    ) -> Tensor:
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups=len(weight))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        input, weight, _, *ctx.places = inputs  # noqa: A001
        ctx.save_for_backward(input, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = (saved.to(grad.dtype) for saved in ctx.saved_tensors)  # noqa: A001 (autocast's)
        asked = ctx.needs_input_grad[:3]
        wide = weight.shape[3] >= WIDE
        turned = grad.dtype == torch.bfloat16 and _can_turn(weight, *ctx.places)
        mask = [one and not quick for one, quick in zip(asked, (turned, wide, wide), strict=True)]
        found: list[Tensor | None] = [None, None, None]
        if any(mask):
            rest = ([len(weight)], *ctx.places, False, (0, 0), len(weight), mask)
            found = [*torch.ops.aten.convolution_backward(grad, input, weight, *rest)]
        if asked[0] and turned:
            found[0] = input_gradient(grad, weight, input.shape[2:], *ctx.places)
        if asked[1] and wide:
            made = weight_gradient(input, grad, weight.shape[2:], *ctx.places)
            # Lies in memory as the weight: several processes add up in that order, and warn of others.
            found[1] = torch.empty_like(weight, dtype=made.dtype).copy_(made)
        if asked[2] and wide:  # asked for it, oneDNN would make the weights' too
            found[2] = grad.sum((0, 2, 3), dtype=_sums(grad))
        return *found, None, None, None


def _sums(values: Tensor) -> torch.dtype:
    """Type in which ``values`` are summed up: float32 and wider."""
    return torch.promote_types(values.dtype, torch.float32)


def _can_turn(weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> bool:
    return max(stride) > 1 and all(
        p <= (k - 1) * d for p, k, d in zip(padding, weight.shape[2:], dilation, strict=True)
    )


# Operators of their own, which a compiler calls and does not look into: kernels of a map's size confuse it.
# torch 2.4 reads no schema from annotations that are text.
_PLACES = "SymInt[] stride, SymInt[] padding, SymInt[] dilation"


@torch.library.custom_op(
    "mmbackbones::depthwise_input_gradient",
    mutates_args=(),
    schema=f"(Tensor grad, Tensor weight, SymInt[] size, {_PLACES}) -> Tensor",
)
def input_gradient(
    grad: Tensor,
    weight: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """Gradient of a depthwise convolution's input, ``(N, C, *size)``.

    Args:
        grad: of the output, ``(N, C, H', W')``.
        weight: ``(C, 1, kh, kw)``; at most as many cells are padded as the kernel reaches.
        size: height and width of the input.
        stride, padding, dilation: of the convolution.
    """
    reach = [(k - 1) * d for k, d in zip(weight.shape[2:], dilation, strict=True)]
    high, wide = (side + 2 * p - r for side, p, r in zip(size, padding, reach, strict=True))
    # In the order of memory in which the forward convolution is fastest.
    between = grad.new_zeros((len(grad), high, wide, grad.shape[1])).permute(0, 3, 1, 2)
    between[:, :, :: stride[0], :: stride[1]] = grad
    rest = [r - p for r, p in zip(reach, padding, strict=True)]
    return F.conv2d(between, weight.flip(2, 3), None, 1, rest, dilation, groups=len(weight))


@input_gradient.register_fake
def _(grad: Tensor, weight: Tensor, size: Sequence[int], *places: Any) -> Tensor:
    return grad.new_empty((grad.shape[0], *size, grad.shape[1])).permute(0, 3, 1, 2)


@torch.library.custom_op(
    "mmbackbones::depthwise_weight_gradient",
    mutates_args=(),
    schema=f"(Tensor input, Tensor grad, SymInt[] kernel, {_PLACES}) -> Tensor",
)
def weight_gradient(
    input: Tensor,  # noqa: A002
    grad: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """Gradient of a depthwise convolution's weights, ``(C, 1, *kernel)`` in float32, summed over the images.

    Args:
        input: ``(N, C, H, W)``.
        grad: of the output, ``(N, C, H', W')``.
        kernel: height and width.
        stride, padding, dilation: of the convolution.
    """
    high, wide = kernel
    total = input.new_zeros((input.shape[1], 1, high, wide), dtype=_sums(input))
    for image, its_grad in zip(input.split(1), grad.split(1), strict=True):
        # Where a stride leaves rows of the input over there are more sums than cells of the kernel.
        sums = F.conv2d(
            image, its_grad.transpose(0, 1), None, dilation, padding, stride, groups=input.shape[1]
        )
        total += sums[0, :, None, :high, :wide]
    return total


@weight_gradient.register_fake
def _(input: Tensor, grad: Tensor, kernel: Sequence[int], *places: Any) -> Tensor:  # noqa: A002
    return input.new_empty((input.shape[1], 1, *kernel), dtype=_sums(input))
