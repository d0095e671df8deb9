"""Batch norms that change no more, folded into the convolutions before them: for a net that is only run."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..tracing.norms import is_norm
from .norms import FrozenBatchNorm2d

#: Of the image that a net is run on to see what feeds what, and that its values stay: height and width.
_SIZE = (96, 128)
#: How far maps may be from those of the plain net, as a part of their norm.
_TOLERANCE = 1e-4


def folded(net: nn.Module, in_channels: int) -> nn.Module:
    """A copy of a net in eval mode without the batch norms that could be folded, or the net itself.

    A batch norm is folded where it alone reads a convolution's output, which the graph of a run on the meta
    device shows. The copy is run once beside the net, and taken only if its maps are the same within
    rounding. It has other names in its state dict, and cannot be trained.

    Args:
        net: Takes ``(N, in_channels, H, W)`` and returns maps; it is not changed.
        in_channels: Channels of the image.
    """
    device = next((param.device for param in net.parameters()), torch.device("cpu"))
    try:
        pairs = foldable(net, in_channels)
    except Exception:  # a net of any author, which may not run on the meta device or at this size
        return net
    if not pairs or net.training:
        return net
    other = copy.deepcopy(net)
    for conv, norm in pairs:
        _fold(other, conv, norm)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        image = torch.randn(1, in_channels, *_SIZE, device="cpu").to(device)
        try:
            same = all(map(_close, _tensors(other(image)), _tensors(net(image))))
        except Exception:  # code that reads what a norm holds
            same = False
    return other if same else net


def fold_modules(model: nn.Module) -> None:
    """Fold the norms of mmcv's ConvModules in place, where a convolution of its own comes right before.

    The model cannot be trained any more, and has other names in its state dict.
    """
    uses = Counter(id(part) for _, part in model.named_modules(remove_duplicate=False))
    for name, module in list(model.named_modules()):
        order = getattr(module, "order", None)
        if type(module).__name__ != "ConvModule" or not order or order[:2] != ("conv", "norm"):
            continue
        norm_name = getattr(module, "norm_name", None)
        conv, norm = module._modules.get("conv"), module._modules.get(norm_name or "")
        if _is_plain(conv) and _is_foldable(norm) and uses[id(conv)] == uses[id(norm)] == 1:
            start = f"{name}." if name else ""
            _fold(model, f"{start}conv", f"{start}{norm_name}")


def _is_plain(conv: nn.Module | None) -> bool:
    own = isinstance(conv, nn.Conv2d) and type(conv).forward is nn.Conv2d.forward
    return own and not _watched(conv) and not hasattr(conv, "parametrizations")


def _watched(module: nn.Module | None) -> bool:
    """Whether others see its calls, or its forward pass is not its class's, as a checkpointed one's."""
    if module is None:
        return False
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _is_foldable(norm: nn.Module | None) -> bool:
    if norm is None or norm.training or _watched(norm) or getattr(norm, "running_var", None) is None:
        return False
    return isinstance(norm, FrozenBatchNorm2d) or (is_norm(norm) and type(norm).__name__ in _KINDS)


#: Classes, of torch, timm, mmengine and ours, that do what ``nn.BatchNorm2d`` does in eval mode.
_KINDS = ("BatchNorm2d", "SyncBatchNorm", "_LocalSync", "BatchNormAct2d")


def foldable(net: nn.Module, in_channels: int) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norms that read their outputs alone."""
    twin = copy.deepcopy(net).to("meta").requires_grad_(True)
    twin.eval()
    made: dict[Any, str] = {}
    read: list[tuple[str, Any]] = []
    calls: Counter[str] = Counter()

    def conv_noter(name: str) -> Any:
        def note(_: nn.Module, __: Any, out: Tensor) -> None:
            calls[name] += 1
            made[out.grad_fn] = name

        return note

    def norm_noter(name: str) -> Any:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            calls[name] += 1
            read.append((name, inputs[0].grad_fn))

        return note

    for name, module in twin.named_modules():
        if _is_plain(module):
            module.register_forward_hook(conv_noter(name))
        elif _is_foldable(module):
            module.register_forward_pre_hook(norm_noter(name))
    with torch.inference_mode(False), torch.enable_grad():
        outputs = _tensors(twin(torch.empty(1, in_channels, *_SIZE, device="meta")))
        readers = _readers(outputs)
    return [
        (made[node], norm)
        for norm, node in read
        if node in made and readers[node] == 1 and calls[norm] == calls[made[node]] == 1
    ]


def _readers(outputs: Iterable[Tensor]) -> Counter[Any]:
    """How many times each node of the graph behind ``outputs`` is read, by them too."""
    todo = [out.grad_fn for out in outputs]
    count: Counter[Any] = Counter(todo)
    seen: set[Any] = set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        count.update(parents)
        todo += parents
    return count


def _fold(net: nn.Module, conv_name: str, norm_name: str) -> None:
    """Put a norm into the convolution before it, and what it does beside that in its own place."""
    conv: Any = net.get_submodule(conv_name)
    norm: Any = net.get_submodule(norm_name)
    given = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *given)
    left = [part for key in ("drop", "act") if isinstance(part := getattr(norm, key, None), nn.Module)]
    parent, _, own = norm_name.rpartition(".")
    net.get_submodule(parent)._modules[own] = nn.Sequential(*left) if left else nn.Identity()


def _tensors(outputs: Any) -> Iterator[Tensor]:
    yield from [outputs] if isinstance(outputs, Tensor) else outputs


def _close(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).norm() <= _TOLERANCE * other.norm())
