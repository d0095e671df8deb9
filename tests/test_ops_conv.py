"""Deformable and masked convolution, called as mmcv's own Python side calls them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

import mmbackbones  # noqa: F401 (offers mmcv._ext)
from mmbackbones.errors import InputError

mmcv_ops = pytest.importorskip("mmcv.ops", reason="the extra mmbackbones[mm] is not installed")

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]


def deform_inputs(deform_groups: int, groups: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    x = torch.randn(2, 4, 6, 7, dtype=dtype, requires_grad=True)
    offset = (torch.randn(2, deform_groups * 18, 3, 4, dtype=dtype) * 1.3).requires_grad_()
    mask = torch.rand(2, deform_groups * 9, 3, 4, dtype=dtype, requires_grad=True)
    weight = torch.randn(6, 4 // groups, 3, 3, dtype=dtype, requires_grad=True)
    return x, offset, mask, weight, torch.randn(6, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize(("groups", "deform_groups"), [(1, 1), (2, 1), (1, 2), (2, 4)])
def test_deform_conv_equals_torchvision(groups: int, deform_groups: int) -> None:
    x, offset, _, weight, _ = deform_inputs(deform_groups, groups)
    geometry = ((2, 2), (1, 1), (1, 1))
    ours = mmcv_ops.deform_conv2d(x, offset, weight, *geometry, groups, deform_groups, False, 2)
    stock = torchvision.ops.deform_conv2d(x, offset, weight, None, *geometry)
    torch.testing.assert_close(ours, stock)
    grad = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, (x, offset, weight), grad),
        torch.autograd.grad(stock, (x, offset, weight), grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_deform_conv_with_no_offset_is_a_convolution() -> None:
    x, offset, _, weight, _ = deform_inputs(1, 1)
    ours = mmcv_ops.deform_conv2d(x, torch.zeros_like(offset), weight, 2, 1)
    torch.testing.assert_close(ours, F.conv2d(x, weight, None, 2, 1))


def test_deform_conv_weight_gradient_alone_and_twice() -> None:
    """The weight's gradient waits in a scratch tensor; it must not outlive its pass."""
    x, offset, _, weight, _ = deform_inputs(1, 1)
    alone = mmcv_ops.deform_conv2d(x.detach(), offset.detach(), weight, 2, 1)
    both = mmcv_ops.deform_conv2d(x, offset, weight, 2, 1)
    for scale in (1.0, 3.0):
        grad = torch.full_like(both, scale)
        (expected,) = torch.autograd.grad(alone, weight, grad, retain_graph=True)
        got = torch.autograd.grad(both, (x, weight), grad, retain_graph=True)[1]
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("groups", "deform_groups"), [(1, 1), (2, 2)])
def test_modulated_deform_conv_equals_torchvision(groups: int, deform_groups: int, bias: bool) -> None:
    x, offset, mask, weight, b = deform_inputs(deform_groups, groups)
    ours = mmcv_ops.modulated_deform_conv2d(
        x, offset, mask, weight, b if bias else None, 2, 1, 1, groups, deform_groups
    )
    stock = torchvision.ops.deform_conv2d(x, offset, weight, b if bias else None, 2, 1, 1, mask)
    torch.testing.assert_close(ours, stock)
    inputs = (x, offset, mask, weight) + ((b,) if bias else ())
    grad = torch.randn_like(ours)
    for one, two in zip(
        torch.autograd.grad(ours, inputs, grad), torch.autograd.grad(stock, inputs, grad), strict=True
    ):
        torch.testing.assert_close(one, two)


def test_deform_conv_gradcheck() -> None:
    x, offset, mask, weight, bias = (
        t[:1] if t.dim() == 4 and len(t) == 2 else t for t in deform_inputs(1, 1)
    )
    inputs = [t.detach().requires_grad_() for t in (x[:, :2], offset, mask, weight[:2, :2], bias[:2])]
    x, offset, mask, weight, bias = inputs
    assert torch.autograd.gradcheck(
        lambda a, o, w: mmcv_ops.deform_conv2d(a, o, w, 2, 1), (x, offset, weight), fast_mode=True
    )
    assert torch.autograd.gradcheck(
        lambda *t: mmcv_ops.modulated_deform_conv2d(*t, 2, 1), (x, offset, mask, weight, bias), fast_mode=True
    )


@pytest.mark.parametrize("layer", ["DeformConv2dPack", "ModulatedDeformConv2dPack", "SAConv2d"])
def test_layers_on_deform_conv_train_in_bfloat16_too(layer: str) -> None:
    options = {"use_deform": True, "bias": False} if layer == "SAConv2d" else {}
    conv = getattr(mmcv_ops, layer)(8, 8, 3, padding=1, **options)
    x = torch.randn(2, 8, 9, 10, requires_grad=True)
    plain = conv(x)
    plain.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in conv.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        narrow = conv(x)
    torch.testing.assert_close(narrow.float(), plain, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("device", DEVICES)
def test_masked_conv_is_the_convolution_where_masked(device: str) -> None:
    conv = mmcv_ops.MaskedConv2d(3, 4, (3, 5), padding=(1, 2)).to(device)
    x, mask = torch.randn(1, 3, 6, 8, device=device), (torch.rand(1, 6, 8, device=device) > 0.5).float()
    expected = F.conv2d(x, conv.weight, conv.bias, padding=(1, 2)) * mask
    torch.testing.assert_close(conv(x, mask), expected, atol=1e-5, rtol=1e-5)
    assert conv(x, torch.zeros_like(mask)).eq(0).all()


def test_modulated_offsets_of_a_larger_map_are_read_as_mmcv_reads_them() -> None:
    """DyHead hands a level's offsets to the next coarser one; the first values in memory are taken."""
    x, _, _, weight, bias = deform_inputs(1, 1)
    offset = torch.randn(2, 18, 6, 8, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(2, 9, 6, 8, dtype=torch.float64, requires_grad=True)
    ours = mmcv_ops.modulated_deform_conv2d(x, offset, mask, weight, bias, 2, 1)
    taken = [t.flatten(1)[:, : t.shape[1] * 12].reshape(2, -1, 3, 4) for t in (offset, mask)]
    stock = torchvision.ops.deform_conv2d(x, taken[0], weight, bias, 2, 1, 1, taken[1])
    torch.testing.assert_close(ours, stock)
    grad = torch.randn_like(ours)
    for one, two in zip(
        torch.autograd.grad(ours, (x, offset, mask), grad),
        torch.autograd.grad(stock, (x, offset, mask), grad),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_modulated_offsets_of_a_smaller_map_are_refused() -> None:
    x, offset, mask, weight, bias = deform_inputs(1, 1)
    with pytest.raises(InputError, match=r"\(2, 2\) cells are too few for an output of \(3, 4\)"):
        mmcv_ops.modulated_deform_conv2d(x, offset[..., :2, :2], mask[..., :2, :2], weight, bias, 2, 1)


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_offsets_that_are_not_finite_do_not_end_the_process(device: str, modulated: bool) -> None:
    """torchvision's operator reads at place NaN, far outside of its memory: DetectoRS with random weights."""
    x, weight = torch.randn(1, 2, 8, 8, device=device), torch.randn(3, 2, 3, 3, device=device)
    offset = torch.zeros(1, 18, 8, 8, device=device)
    offset[0, 4, 2, 3], offset[0, :, 5, 6] = torch.nan, torch.inf
    inputs = [t.requires_grad_() for t in (x, offset, weight)]
    mask = torch.ones(1, 9, 8, 8, device=device)
    if modulated:
        out = mmcv_ops.modulated_deform_conv2d(x, offset, mask, weight, None, 1, 1)
    else:
        out = mmcv_ops.deform_conv2d(x, offset, weight, 1, 1)
    expected = F.conv2d(x, weight, None, 1, 1)
    expected[..., 2, 3], expected[..., 5, 6] = torch.nan, 0
    torch.testing.assert_close(out, expected, equal_nan=True, atol=1e-5, rtol=1e-5)
    gradients = torch.autograd.grad(out, inputs, torch.ones_like(out))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[1][0, :, 5, 6].eq(0).all()
