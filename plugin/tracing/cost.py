"""What a network costs, and of what kind it is: counted on the meta device, nothing is computed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ..sources import FeatureNet
from ..sources.cells import pad_to
from .shapes import ShapesOnly
from .trace import Trace, meta_copy

#: Height and width of the image at which the catalog's GFLOPs are counted, pixels.
SIZE = (224, 224)


@dataclass(frozen=True)
class Cost:
    """One forward pass of one image.

    Attributes:
        madds: Multiply-adds of convolutions and matrix products (linear layers and attention); papers
            call a billion of these a GFLOP. Norms, activations, pools and sums are not counted.
        kind: An attention is two products of activations with each other; a convolution counts if its
            windows overlap. ``transformer``: with attention. ``hybrid``: with attention, and one
            convolution or more to each four attentions. ``cnn``: with convolutions and no attention.
            ``mlp``: with neither.
    """

    madds: int
    kind: str


class _Calls(TorchDispatchMode):
    """Counts the calls of each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


class _Maps(nn.Module):
    """All maps of a network by power-of-two strides, as a module."""

    def __init__(self, feature_net: FeatureNet, trace: Trace) -> None:
        super().__init__()
        self.net = feature_net.net
        self.feature_net, self.trace = feature_net, trace

    def forward(self, x: Tensor) -> list[Tensor]:
        x, _ = pad_to(x, self.trace.multiple)
        return self.feature_net.run(x, list(self.trace.taps.values()))


def cost_of_maps(feature_net: FeatureNet, trace: Trace) -> Cost:
    """Count all maps of an RGB image of :data:`SIZE`; the network itself is left as it is."""
    return cost(_Maps(meta_copy(feature_net), trace), 3)


def cost(net: nn.Module, in_channels: int, size: tuple[int, int] = SIZE) -> Cost:
    """Count one forward pass in eval mode.

    Args:
        net: The network; it is moved to the meta device, and so lost for anything else.
        in_channels: Channels of the image.
        size: Height and width of the image, pixels.
    """
    net.eval()  # OpenMMLab's classes return None
    net = net.to("meta")
    overlapping = 0

    def note(conv: _ConvNd, _: tuple[Tensor, ...], __: Tensor) -> None:
        nonlocal overlapping
        overlapping += any(a > b for a, b in zip(conv.kernel_size, conv.stride, strict=True) if a > 1)

    hooks = [m.register_forward_hook(note) for m in net.modules() if isinstance(m, _ConvNd)]
    try:
        with (
            torch.no_grad(),
            ShapesOnly(products=False),
            _Calls() as calls,
            FlopCounterMode(display=False) as counter,
        ):
            net(torch.empty(1, in_channels, *size, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    attentions = (calls.count["bmm"] + calls.count["baddbmm"]) / 2
    if attentions:
        kind = "hybrid" if overlapping >= attentions / 4 else "transformer"
    else:
        kind = "cnn" if overlapping else "mlp"
    return Cost(counter.get_total_flops() // 2, kind)  # torch counts a multiply-add as two
