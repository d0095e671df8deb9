"""Whether a network can be dilated: the identity of the algorithme a trous decides, on one tiny image.

The network runs with random weights, undilated and with ``output_stride=8``; the dilated maps, sampled, must
be the undilated ones. No name of a class says it: a branch that pools, resizes or attends to cells shows in
the values.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..catalog.spec import Spec
from ..errors import InputError
from ..sources import FeatureNet
from ..tracing.shapes import ShapesOnly
from ..tracing.trace import Trace, meta_copy
from .dilation import OUTPUT_STRIDES, dilate

_OUTPUT_STRIDE = 8
_SHAPE_SIDE = 256  # pixels, on the meta device
_SIZE = (64, 128)  # pixels; the coarsest map has 2 x 4 cells
_TOLERANCE = 1e-4  # of a map's largest value; wrong branches are off by 1e-3 and more


def check_dilatable(spec: Spec, output_stride: int) -> None:
    """Raises InputError where ``output_stride`` is no allowed value or has no meaning."""
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(
            f"output_stride={output_stride} is not one of {OUTPUT_STRIDES}: write one of them, or none."
        )
    if not spec.dilatable:
        raise InputError(
            f"'{spec.name}' cannot be dilated: it reduces or reads its maps by other means than plain "
            f"convolutions and pools (merged patches, a fixed patch size, attention). Leave output_stride "
            f"out, or choose a convolutional net: `mmbackbones list --dilatable`."
        )


def check_still_dilatable(
    feature_net: FeatureNet, trace: Trace, in_channels: int, net_kwargs: dict[str, Any]
) -> None:
    """Raises InputError where ``net_kwargs`` make of a dilatable network one that is not."""
    if not can_dilate(feature_net, trace, in_channels):
        raise InputError(
            f"output_stride is not possible with net_kwargs={net_kwargs}: it reads cells by other means than "
            f"plain convolutions and pools then, so that its dilated maps would be others. Leave one of the "
            f"two out."
        )


def can_dilate(feature_net: FeatureNet, trace: Trace, in_channels: int = 3) -> bool:
    """Whether a network takes ``output_stride``: its dilated maps have the right sizes and values.

    What reads a whole map at once (the mean of an SE gate, the statistics of a group norm) is held at what
    the undilated network reads. ``feature_net`` may lie on the meta device; its own weights are not read.
    """
    copied = meta_copy(feature_net)
    taps = list(trace.taps.values())
    try:
        dilate(copied.net, trace, _OUTPUT_STRIDE)
        with ShapesOnly():
            shapes = copied.run(torch.empty(1, in_channels, _SHAPE_SIDE, _SHAPE_SIDE, device="meta"), taps)
        cells = [_SHAPE_SIDE // min(_OUTPUT_STRIDE, stride) for stride in trace.taps]
        if [fmap.shape[-1] for fmap in shapes] != cells:  # patches are merged: nothing needs a value
            return False
        with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
            image = torch.rand(1, in_channels, *_SIZE, generator=torch.Generator().manual_seed(0))
            return _identical(feature_net, trace, taps, image)
    except (InputError, RuntimeError, AssertionError, IndexError):  # as networks refuse a size
        return False


def _identical(feature_net: FeatureNet, trace: Trace, taps: list[int], image: Tensor) -> bool:
    plain, dilated = _random_copy(feature_net), _random_copy(feature_net)
    dilate(dilated.net, trace, _OUTPUT_STRIDE)
    statistics = _Statistics()
    with statistics:
        ordinary = plain.run(image, taps)
    with statistics.given():
        dense = dilated.run(image, taps)
    steps = [max(1, stride // _OUTPUT_STRIDE) for stride in trace.taps]
    return all(
        _close(fmap[..., ::step, ::step], reference)
        for fmap, reference, step in zip(dense, ordinary, steps, strict=True)
    )


def _close(fmap: Tensor, reference: Tensor) -> bool:
    if fmap.shape != reference.shape:
        return False
    return float((fmap - reference).abs().max()) <= _TOLERANCE * float(reference.abs().max())


class _Statistics(TorchDispatchMode):
    """Notes what operations read of whole maps, in order, and gives it again in a second run."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[torch.Size, Any]] = []
        self.calls: int | None = None  # of the second run

    def given(self) -> _Statistics:
        """The mode for the run that gets what was noted."""
        self.calls = 0
        return self

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket not in _READ_WHOLE_MAPS:
            return out
        if self.calls is None:
            self.noted.append((args[0].shape, out))
            return out
        shape, before = self.noted[self.calls]
        self.calls += 1
        if args[0].shape == shape:
            return out
        if func.overloadpacket is torch.ops.aten.native_group_norm:
            return _group_norm(args, before), *before[1:]
        return before if _shapes(out) == _shapes(before) else out  # else it reads cells, not a whole map


_READ_WHOLE_MAPS = frozenset(
    getattr(torch.ops.aten, name)
    for name in (
        *("mean", "sum", "amax", "amin", "max", "min", "var", "var_mean", "std", "std_mean"),
        *("linalg_vector_norm", "norm", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "native_group_norm"),
    )
)


def _shapes(out: Any) -> list[torch.Size]:
    return [part.shape for part in (out if isinstance(out, (tuple, list)) else [out])]


def _group_norm(args: Any, before: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """``native_group_norm(x, weight, bias, N, C, cells, groups, eps)`` with the statistics of another map."""
    x, weight, bias, images, channels = args[:5]
    spread = (images, -1, 1)
    mean, scale = before[1].reshape(spread), before[2].reshape(spread)
    out = ((x.reshape(images, mean.shape[1], -1) - mean) * scale).reshape(images, channels, -1)
    if weight is not None:
        out = out * weight.reshape(1, -1, 1)
    if bias is not None:
        out = out + bias.reshape(1, -1, 1)
    return out.reshape(x.shape)


def _random_copy(feature_net: FeatureNet) -> FeatureNet:
    """A deep copy in eval mode with random values, the same at each call.

    Norms and scales of branches are drawn too: fresh ones hide what lies before them. Big tensors are views
    of a few short rows of numbers, so that a network of any size costs little memory.
    """
    draw = _Numbers()
    memo: dict[int, object] = {}
    for param in feature_net.net.parameters():
        memo[id(param)] = nn.Parameter(draw(param, -1.0), requires_grad=False)
    for buffer in feature_net.net.buffers():
        plain = buffer.is_floating_point()
        memo[id(buffer)] = draw(buffer, 0.5) if plain else torch.zeros_like(buffer, device="cpu")
    copied = copy.deepcopy(feature_net, memo)
    copied.net.eval()
    return copied


class _Numbers:
    """Random values: matrices keep the size of what goes through, vectors lie between ``low`` and 1.5."""

    _BEGINNINGS = 997

    def __init__(self) -> None:
        self.rows: dict[int, Tensor] = {}
        self.drawn = 0

    def __call__(self, like: Tensor, low: float) -> Tensor:
        generator = torch.Generator().manual_seed(self.drawn)
        self.drawn += 1
        if like.ndim <= 1:
            return low + (1.5 - low) * torch.rand(like.shape, generator=generator)
        fan_in, needed = math.prod(like.shape[1:]), like.numel() + self._BEGINNINGS
        if len(self.rows.get(fan_in, ())) < needed:
            self.rows[fan_in] = torch.randn(needed, generator=generator) * (2 / fan_in) ** 0.5
        begin = 37 * self.drawn % self._BEGINNINGS
        return self.rows[fan_in][begin : begin + like.numel()].view(like.shape)
