"""Traces run without the arithmetic: what is read off them is what the whole run gives."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmbackbones.sources import open_net
from mmbackbones.tracing import trace as tracing
from mmbackbones.tracing.shapes import ShapesOnly, Unfilled
from mmbackbones.tracing.trace import trace

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.LeakyReLU, nn.Mish)


class ChannelsLast(nn.Module):
    """A norm over channels, as ConvNeXt has it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Calls(TorchDispatchMode):
    """What is computed, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def layers() -> nn.Sequential:
    """One of each kind that is not computed, between layers that are."""
    with torch.device("meta"):
        acts = [kind(inplace=True) if kind is nn.ReLU else kind() for kind in ACTIVATIONS]
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), *acts, ChannelsLast(8), nn.Linear(30, 5))
    return net.eval()


def behind(out: Tensor) -> set[int]:
    """Ids of the tensors that ``out`` depends on, in autograd's graph."""
    found, todo = set(), [out.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None:
            found.add(id(getattr(node, "variable", None)))
            todo += [parent for parent, _ in node.next_functions]
    return found


def test_shapes_and_what_they_depend_on_are_those_of_the_arithmetic() -> None:
    net, image = layers(), torch.empty(2, 3, 24, 32, device="meta")
    for upto in range(1, len(net) + 1):
        part = net[:upto]
        whole = part(image)
        with ShapesOnly(), Calls() as calls:
            out = part(image)
        assert (out.shape, out.stride(), out.dtype) == (whole.shape, whole.stride(), whole.dtype), part[-1]
        assert {id(param) for param in part.parameters()} <= behind(out), part[-1]
    assert set(calls.count) <= {"convolution", "empty_like", "new_empty", "permute", "empty", "detach"}


def test_all_that_is_read_gets_a_gradient() -> None:
    net, image = layers(), torch.empty(2, 3, 24, 32, device="meta")
    with ShapesOnly():
        net(image).sum().backward()
    shapes = [(None if param.grad is None else param.grad.shape) for param in net.parameters()]
    assert shapes == [param.shape for param in net.parameters()]


def test_what_does_not_fit_is_said_as_ever() -> None:
    """A trace finds out so which sizes a network takes."""
    with torch.device("meta"):
        image, linear, norm = torch.empty(1, 3, 8, 8), nn.Linear(9, 2), nn.LayerNorm([3, 8, 9])
        for layer in (linear, norm):
            with pytest.raises(RuntimeError, match="9"), ShapesOnly():
                layer(image)


def test_values_are_computed_as_ever() -> None:
    net, x = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), nn.GELU()), torch.rand(3, 4)
    with ShapesOnly():
        out = net(x)
    assert torch.equal(net(x), out)
    assert out.std() > 0


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "convnext_atto", "test_vit"])
def test_a_trace_is_that_of_a_whole_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        net = open_net("timm", name, 3, {})
    found = trace(net, 3)
    monkeypatch.setattr(tracing, "ShapesOnly", nullcontext)
    assert trace(net, 3) == found


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "test_vit"])
def test_a_net_without_fills_is_the_same_net(name: str) -> None:
    with torch.device("meta"):
        plain = open_net("timm", name, 3, {})
        with Unfilled(), Calls() as calls:
            net = open_net("timm", name, 3, {})
    assert not {"uniform_", "normal_", "fill_", "zero_", "erfinv_", "mul_", "add_", "clamp_"} & set(
        calls.count
    )
    shapes, expected = (
        {key: (value.shape, value.dtype) for key, value in one.net.state_dict().items()}
        for one in (net, plain)
    )
    assert shapes == expected
    with Unfilled():
        found = trace(net, 3)
    assert found == trace(plain, 3)


def test_unfilled_leaves_values_tensors_and_autograd_alone() -> None:
    with Unfilled():
        assert nn.init.constant_(torch.empty(2), 3).tolist() == [3, 3]
        x = torch.ones(2, 3, device="meta", requires_grad=True)
        with pytest.raises(RuntimeError, match="5"), torch.no_grad():
            torch.empty(2, 3, device="meta").add_(torch.empty(5, device="meta"))
        assert id(x) in behind((x * 2).mul_(3))
        assert type((x * 2).mul_(3).grad_fn).__name__ == "MulBackward0"
        assert type((x.abs()).mul_(3).grad_fn.next_functions[0][0]).__name__ == "AbsBackward0"
