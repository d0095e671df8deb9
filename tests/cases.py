"""Which backbones the sweeping tests take, and one built net that all checks of a name share.

``make test`` takes the smallest of each family, and what trains or looks far takes the light ones of them.
``make sweep`` sets MMBACKBONES_SWEEP=1 and takes the whole catalog.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
import torch
from packaging.version import Version
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import mmbackbones
from mmbackbones.backbone import Backbone
from mmbackbones.engine import compiling
from mmbackbones.native.attention import GlobalGate

EVERY = mmbackbones.list_backbones()
#: What docs/versions.md says of torch 2.4. test_compiling.py tests what a user of it reads.
needs_newer_torch = pytest.mark.skipif(
    Version(torch.__version__) < compiling.OLDEST,
    reason="this torch compiles and exports not all that newer ones do, see docs/versions.md",
)


def _smallest() -> list[str]:
    smallest: dict[str, str] = {}
    for name in sorted(EVERY, key=lambda name: mmbackbones.get_spec(name).params):
        smallest.setdefault(mmbackbones.get_spec(name).family, name)
    return sorted(smallest.values())


def _plain(name: str) -> bool:
    """Whether it is a plain transformer, whose maps all have the width of its blocks."""
    return len(set(mmbackbones.get_spec(name).channels.values())) == 1


def _light() -> list[str]:
    """Families whose smallest net takes below a second for each run, and the lightest of each other kind."""
    specs = {name: mmbackbones.get_spec(name) for name in SMALLEST}
    lightest: dict[object, str] = {}
    for name in sorted(SMALLEST, key=lambda name: specs[name].gflops):
        lightest.setdefault((specs[name].kind, _plain(name)), name)
    return [name for name in SMALLEST if specs[name].gflops < 2 or name in lightest.values()]


SMALLEST = _smallest()
SWEEP = bool(os.environ.get("MMBACKBONES_SWEEP"))


def swept(reason: str) -> pytest.MarkDecorator:
    """A mark for what ``make test`` leaves to ``make sweep``."""
    return pytest.mark.skipif(not SWEEP, reason=f"{reason}: make sweep")


NAMES = EVERY if SWEEP else SMALLEST
LIGHT = EVERY if SWEEP else _light()
DILATABLE = [name for name in NAMES if mmbackbones.get_spec(name).dilatable]
#: Residual attention reads half of each block's map at strides of its own: convolutions, and no dilation.
CONVOLUTIONAL = [
    name for name in NAMES if name in DILATABLE or mmbackbones.get_spec(name).family == "residual_attention"
]
PLAIN = [name for name in NAMES if _plain(name)]


class Draws(contextlib.ExitStack):
    """Inside, random weights are copied from one pool of noise, or are all zero.

    Drawing them is most of what building a net takes. Means and deviations stay; only the weights of a net
    are no longer independent of each other.
    """

    SIZE = 1 << 20

    def __init__(self, blank: bool = False) -> None:
        super().__init__()
        self.start = 0
        generator = torch.Generator().manual_seed(0)
        normal = torch.randn(0 if blank else self.SIZE, generator=generator)
        uniform = torch.rand(0 if blank else self.SIZE, generator=generator)

        def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, **_: Any) -> Tensor:
            return self.fill(tensor, normal).mul_(std).add_(mean)

        def uniform_(tensor: Tensor, low: float = 0.0, high: float = 1.0, **_: Any) -> Tensor:
            return self.fill(tensor, uniform).mul_(high - low).add_(low)

        def erfinv_(tensor: Tensor) -> Tensor:  # of a uniform draw: so timm and torch truncate normal ones
            return self.fill(tensor, normal).mul_(0.5**0.5)

        def zero_(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
            return tensor.zero_()

        for draw in (normal_, uniform_, erfinv_):
            self.replace(draw.__name__, zero_ if blank else draw)

    def replace(self, name: str, draw: Callable[..., Tensor]) -> None:
        """Let tensors on the CPU draw so."""
        own = getattr(Tensor, name)

        def drawn(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            return (draw if tensor.device.type == "cpu" else own)(tensor, *args, **kwargs)

        self.enter_context(patch.object(Tensor, name, drawn))

    def fill(self, tensor: Tensor, pool: Tensor) -> Tensor:
        """Copy the pool into ``tensor``, over and over, beginning at another place for each tensor."""
        flat = torch.empty(tensor.numel())
        start = self.start = (self.start + 7919) % self.SIZE
        for piece in flat.split(self.SIZE):
            head = min(len(piece), self.SIZE - start)
            piece[:head] = pool[start : start + head]
            piece[head:] = pool[: len(piece) - head]
        return tensor.copy_(flat.view(tensor.shape))


def quick(name: str, **arguments: Any) -> Backbone:
    """As ``mmbackbones.build``, with cheap noise as weights."""
    with Draws():
        return mmbackbones.build(name, **arguments)


def blank(name: str, **arguments: Any) -> Backbone:
    """As ``mmbackbones.build``, with zeros as weights: for those who load or set all of them."""
    with Draws(blank=True):
        return mmbackbones.build(name, **arguments)


@functools.lru_cache(maxsize=1)
def built(name: str) -> Backbone:
    """The net in eval mode, with random statistics and affine parameters. Shared: never to be changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return with_random_norms(quick(name)).eval()


def copied(name: str) -> Backbone:
    """A copy of :func:`built`, to be changed at will."""
    return copy.deepcopy(built(name))


def on_meta(net: Backbone) -> Backbone:
    """A twin whose tensors have shapes and no values: big images cost it nothing."""
    held = [*net.parameters(), *net.buffers()]
    memo: dict[int, object] = {id(tensor): torch.empty_like(tensor, device="meta") for tensor in held}
    for param in net.parameters():
        memo[id(param)] = nn.Parameter(memo[id(param)], requires_grad=param.requires_grad)
    return copy.deepcopy(net, memo)


def with_random_norms(net: nn.Module) -> nn.Module:
    """Draw every vector of parameters, and give each batch norm the statistics of an image of noise.

    Fresh norms are nearly the identity, and fresh nets hold zeros that hide what lies before them. With
    statistics of their own inputs the values of deep nets stay small.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, param in net.named_parameters():
            if param.ndim == 1:
                low, high = (-0.2, 0.2) if name.endswith("bias") else (0.5, 1.5)
                param.copy_(low + (high - low) * torch.rand(param.shape, generator=generator))
        norms = [m for m in net.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        if norms:
            channels = next(p.shape[1] for p in net.parameters() if p.ndim == 4)
            net.train()(torch.rand(4, channels, 128, 128, generator=generator))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return net.eval()


#: Classes that read a whole map at once and then scale and shift each channel, next to our GlobalGate.
_GATES = ("SqueezeExcite", "SEModule", "EffectiveSEModule", "GlobalResponseNorm", "GroupNorm", "GroupNorm1")


class Held:
    """Scale and shift of each channel that the gates of a net gave in one run, by path."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[Tensor, Tensor]] = {}

    def note(self, path: str, module: nn.Module, x: Tensor, out: Tensor) -> None:
        """Read them off two cells of each channel, the one of the least value and the one of the largest."""
        spatial = getattr(module, "spatial_dim", (2, 3))
        x, out = (t.movedim(spatial, (2, 3)).flatten(2).double() for t in (x, out))
        cells = torch.stack([x.argmin(2), x.argmax(2)], 2)
        (x1, x2), (y1, y2) = (t.gather(2, cells).unbind(2) for t in (x, out))
        flat = x1 == x2  # a constant channel: any scale does, as long as the value is right
        scale = torch.where(flat, 0.0, (y2 - y1) / torch.where(flat, 1.0, x2 - x1))
        self.values[path] = scale, y1 - scale * x1

    def give(self, net: nn.Module) -> None:
        """Let each gate of ``net`` do what it did in that run, whatever its map is now."""
        for path, (scale, shift) in self.values.items():
            module = net.get_submodule(path)
            dims = getattr(module, "spatial_dim", (2, 3))
            scale, shift = (t[..., None, None].movedim((2, 3), dims).float() for t in (scale, shift))
            module.forward = lambda x, a=scale, b=shift: a * x + b


@contextlib.contextmanager
def gate_values_from(net: nn.Module) -> Iterator[Held]:
    """Run ``net`` inside, without gradients; what its gates did can then be given to another net."""
    held = Held()
    hooks = [
        module.register_forward_hook(lambda m, inputs, out, path=path: held.note(path, m, inputs[0], out))
        for path, module in net.named_modules()
        if isinstance(module, GlobalGate) or type(module).__name__ in _GATES
    ]
    try:
        with torch.no_grad():
            yield held
    finally:
        for hook in hooks:
            hook.remove()


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> bool:
    """Whether two maps agree to ``tolerance`` of the largest value, which must be a number above zero."""
    scale = float(theirs.abs().max())
    return 0 < scale < float("inf") and float((ours - theirs).abs().max()) <= tolerance * scale
