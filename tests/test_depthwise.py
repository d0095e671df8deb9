"""Quick gradients of depthwise convolutions: torch's values, only where quick, and taken by trainings."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from functorch.compile import make_boxed_func
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch.utils.checkpoint import checkpoint

import mmbackbones
from mmbackbones.engine.layout import fold_norms
from mmbackbones.engine.runner import Runner
from mmbackbones.surgery import depthwise
from mmbackbones.surgery.constant_norms import join_constant_norms
from mmbackbones.surgery.depthwise import QuickConvolution, take_quick_gradients

LAST = torch.channels_last
#: Kernel, stride, padding, dilation.
PLACES: dict[str, tuple[Any, Any, Any, Any]] = {
    "MobileNetV3's": (5, 1, 2, 1),
    "that strides": (5, 2, 2, 1),
    "dilated": (7, 1, 6, 2),
    "dilated, that strides": (5, 2, 4, 2),
    "rows and columns apart": ((3, 4), (2, 1), (0, 3), (1, 2)),
    "one row": ((1, 11), 1, (0, 5), 1),
    "without padding": (4, 3, 0, 1),
    "padded beyond its reach": (5, 2, 5, 1),
}
STRIDED = {key: value for key, value in PLACES.items() if value[1] != 1} | {
    "three by three": (3, 2, 1, 1),
    "three by three, dilated": (3, (2, 3), 2, 2),
}


def conv(kernel: Any, stride: Any, padding: Any, dilation: Any, channels: int = 6, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, **more)


def quick_copy(net: nn.Module) -> nn.Module:
    other = copy.deepcopy(net)
    take_quick_gradients(other)
    return copy.deepcopy(other)  # as an average of weights does


def gradients(net: nn.Module, x: Tensor, call: Any = None) -> list[Tensor]:
    """Output, and gradients of the input and the parameters."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    found = (net if call is None else call)(x)
    found.backward(torch.linspace(-1, 1, found.numel(), dtype=found.dtype).view_as(found))
    return [found.detach(), x.grad, *(p.grad for p in net.parameters())]  # type: ignore[list-item]


def is_quick(output: Tensor) -> bool:
    return "Depthwise" in type(output.grad_fn).__name__


@pytest.mark.parametrize("size", [(23, 30), (16, 17)])
@pytest.mark.parametrize("order", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("places", PLACES.values(), ids=[*PLACES])
def test_gradients_are_those_of_torch(
    places: Any, bias: bool, order: torch.memory_format, size: tuple[int, int]
) -> None:
    plain = conv(*places, bias=bias).double()
    quick = quick_copy(plain)
    x = torch.randn(3, 6, *size, dtype=torch.float64).contiguous(memory_format=order)
    assert is_quick(quick(x))
    for found, expected in zip(gradients(quick, x), gradients(plain, x), strict=True):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("order", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("places", PLACES.values(), ids=[*PLACES])
def test_in_single_precision_they_are_as_near_to_the_truth(places: Any, order: torch.memory_format) -> None:
    plain = conv(*places, channels=16)
    quick, exact = quick_copy(plain), copy.deepcopy(plain).double()
    x = torch.randn(2, 16, 40, 52).contiguous(memory_format=order)
    truth = gradients(exact, x.double())
    for found, expected in zip(gradients(quick, x), truth, strict=True):
        torch.testing.assert_close(
            found, expected.float(), rtol=1e-4, atol=1e-5 * float(expected.abs().max())
        )


@pytest.mark.parametrize("size", [(23, 30), (16, 17), (8, 9)])
@pytest.mark.parametrize("places", STRIDED.values(), ids=[*STRIDED])
def test_the_input_of_a_strided_one_gets_torchs_gradient(
    places: Any, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16, where it is turned around, within its rounding; and exactly, by the same function."""
    plain = conv(*places).to(memory_format=LAST)
    x = torch.randn(2, 6, *size, dtype=torch.float64).contiguous(memory_format=LAST)
    truth = gradients(copy.deepcopy(plain).double(), x)
    called: list[int] = []
    turn = depthwise.input_gradient
    monkeypatch.setattr(depthwise, "input_gradient", lambda *given: called.append(1) or turn(*given))
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(quick_copy(plain), x.float())
    assert bool(called) == (places != PLACES["padded beyond its reach"])
    for mine, expected in zip(found, truth, strict=True):
        torch.testing.assert_close(mine.double(), expected, rtol=0, atol=0.02 * float(expected.abs().max()))
    if called:
        rest = (plain.stride, plain.padding, plain.dilation)
        grad = torch.linspace(-1, 1, truth[0].numel(), dtype=torch.float64).view_as(truth[0])
        exact = turn(grad, plain.weight.detach().double(), size, *rest)  # type: ignore[arg-type]
        torch.testing.assert_close(exact, truth[1], rtol=1e-10, atol=1e-12)


def test_under_autocast_weights_are_summed_in_single_precision() -> None:
    plain = conv(5, 1, 2, 1, channels=32).to(memory_format=LAST)
    quick, exact = quick_copy(plain), copy.deepcopy(plain).double()
    x = torch.randn(8, 32, 20, 20).contiguous(memory_format=LAST)
    truth = gradients(exact, x.double())
    with torch.autocast("cpu", torch.bfloat16):
        found, torchs = gradients(quick, x), gradients(plain, x)
    assert found[0].dtype == torch.bfloat16
    torch.testing.assert_close(found[0], torchs[0])
    for mine, its, expected in zip(found[1:], torchs[1:], truth[1:], strict=True):
        assert mine.dtype == its.dtype == torch.float32
        error, its_error = ((one - expected).abs().max() / expected.abs().max() for one in (mine, its))
        assert error < max(0.01, 1.1 * float(its_error))


OTHERS: dict[str, nn.Conv2d] = {
    "three columns": conv((7, 3), 1, 1, 1),
    "groups of two channels": nn.Conv2d(8, 8, 5, groups=4),
    "two maps of a channel": nn.Conv2d(4, 8, 5, groups=4),
    "dense": nn.Conv2d(4, 4, 5),
    "of one channel": nn.Conv2d(1, 1, 5),
    "padded by name": conv(5, 1, "same", 1),
    "padded by reflection": conv(5, 1, 2, 1, padding_mode="reflect"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=[*OTHERS])
def test_others_are_left_to_torch(other: nn.Conv2d) -> None:
    assert take_quick_gradients(nn.Sequential(other)) == 0
    assert not is_quick(other(torch.randn(1, other.in_channels, 16, 16)))


def test_it_is_left_to_torch_where_no_weight_learns() -> None:
    quick = quick_copy(conv(5, 1, 2, 1))
    x = torch.randn(2, 6, 9, 9, requires_grad=True)
    assert is_quick(quick(x))
    with torch.no_grad():
        assert quick(x).grad_fn is None
    assert not is_quick(quick(x[:0]))
    assert not is_quick(quick(x[0]))  # an image alone
    (first,) = torch.autograd.grad(quick(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
    quick.requires_grad_(False)
    assert not is_quick(quick(x))


@pytest.mark.parametrize("order", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("bf16", [False, True])
def test_gradients_lie_in_memory_as_their_weights(order: torch.memory_format, bf16: bool) -> None:
    """Else several processes that train warn of them, and copy."""
    for places in (PLACES["MobileNetV3's"], STRIDED["three by three"]):
        quick = quick_copy(conv(*places).to(memory_format=order))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            quick(torch.randn(2, 6, 12, 12).to(memory_format=order)).float().sum().backward()
        assert quick.weight.grad.stride() == quick.weight.stride()


def test_only_the_gradients_asked_for_are_made() -> None:
    quick = quick_copy(conv(5, 1, 2, 1))
    x = torch.randn(2, 6, 9, 9)
    quick.bias.requires_grad_(False)  # type: ignore[union-attr]
    quick(x).sum().backward()
    assert quick.weight.grad is not None
    assert quick.bias.grad is None


NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "5x5, SE": ("mobilenetv3_small_050", {}),
    "constant norms": ("mobilenetv3_small_050", dict(norm_eval=True)),
    "dilated": ("mobilenetv3_small_050", dict(output_stride=16)),
    "with checkpoints": ("timm:convnext_atto", dict(with_cp=True)),
    "frozen below": ("timm:convnext_atto", dict(frozen_stages=1)),
    "channels last": ("timm:convnext_atto", dict(memory_format="channels_last")),
    "padded by itself": ("timm:tf_efficientnet_lite0", {}),
}


@pytest.mark.parametrize(("name", "arguments"), NETS.values(), ids=[*NETS])
def test_a_net_learns_the_same(name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = mmbackbones.build(name, **arguments).train()
    other = copy.deepcopy(net)
    assert take_quick_gradients(other) > 0
    if "norm_eval" in arguments:
        assert join_constant_norms(other, 3) > 0
    x = torch.randn(4, 3, 96, 64)
    for one in (net, other):
        sum(fmap.square().mean() for fmap in one(x)).backward()
    given = dict(net.named_parameters())
    for key, value in other.named_parameters():
        expected = given[key].grad
        assert (value.grad is None) == (expected is None), key
        if expected is not None:
            torch.testing.assert_close(
                value.grad, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()) + 1e-6, msg=key
            )


def test_it_is_saved_and_checkpointed() -> None:
    plain = conv(5, 1, 2, 1)
    quick = quick_copy(plain)
    assert [*quick.state_dict()] == [*plain.state_dict()]
    x = torch.randn(2, 6, 12, 12)
    expected = gradients(plain, x)
    for found, one in zip(
        gradients(quick, x, lambda x: checkpoint(quick, x, use_reentrant=False)), expected, strict=True
    ):
        torch.testing.assert_close(found, one, rtol=1e-4, atol=1e-6)
    again = pickle.loads(pickle.dumps(quick))
    again.weight.data.zero_()
    assert is_quick(again(x))
    assert not torch.equal(again(x), quick(x))


@pytest.mark.parametrize("bf16", [False, True])
def test_a_program_has_quick_gradients_too(bf16: bool) -> None:
    plain = conv(5, 2, 2, 1)
    quick = quick_copy(plain)
    backward: list[str] = []

    def note(program: Any, _: Any) -> Any:
        backward.extend(str(node.target) for node in program.graph.nodes)
        return make_boxed_func(program)

    backend = aot_autograd(fw_compiler=lambda program, _: make_boxed_func(program), bw_compiler=note)
    program = torch.compile(quick, backend=backend, fullgraph=True, dynamic=True)
    for size in ((12, 15), (20, 17)):
        x = torch.randn(2, 6, *size)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            pairs = zip(gradients(quick, x, program), gradients(plain, x), strict=True)
        for found, one in pairs:
            close = 0.02 if bf16 else 1e-5
            torch.testing.assert_close(found, one, rtol=0, atol=close * float(one.abs().max()))
        for module in (quick, plain):
            module.zero_grad()
    assert "mmbackbones.depthwise_weight_gradient.default" in backward
    assert bf16 == ("mmbackbones.depthwise_input_gradient.default" in backward)
    assert bf16 != ("aten.convolution_backward.default" in backward)  # of the input


@pytest.mark.parametrize("places", PLACES.values(), ids=[*PLACES])
def test_operators_are_as_they_say(places: Any) -> None:
    """What a compiler is told of them without a run: shapes, types and order in memory."""
    plain = conv(*places)
    rest = (plain.stride, plain.padding, plain.dilation)
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(2, 6, 30, 41, dtype=dtype)
        grad = torch.randn_like(plain.to(dtype)(x))
        torch.library.opcheck(depthwise.weight_gradient, (x, grad, [*plain.kernel_size], *map(list, rest)))
        if places != PLACES["padded beyond its reach"]:
            size = [*x.shape[2:]]
            weight = plain.weight.detach()
            torch.library.opcheck(depthwise.input_gradient, (grad, weight, size, *map(list, rest)))


def test_folded_for_evaluation_it_has_the_same_maps() -> None:
    net = mmbackbones.build("mobilenetv3_small_050")
    plain = copy.deepcopy(net).eval()
    take_quick_gradients(net)
    model = nn.ModuleDict({"backbone": net})
    fold_norms(model)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for found, expected in zip(model["backbone"](x), plain(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("compiled", [None, dict(backend="eager")])
def test_trainings_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: dict[str, Any] | None
) -> None:
    monkeypatch.setattr(tiny, "Runner", Runner)
    backbone = dict(type="mmbackbones.timm:mobilenetv3_small_050")
    changes: dict[str, Any] = dict(compile=compiled) if compiled else {}
    cfg = tiny.config(tmp_path / "work", train_cfg=dict(by_epoch=True, max_epochs=1), **changes)
    cfg.model.backbone.update(backbone)
    runner, _ = tiny.train(cfg)
    convs = [m for m in runner.model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (5, 5)]
    assert convs
    assert all(isinstance(vars(one).get("_conv_forward"), QuickConvolution) for one in convs)
