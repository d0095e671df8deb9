"""Attention, upsampling, normalisation and focal losses, called as mmcv's own Python side calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

import mmbackbones  # noqa: F401 (offers mmcv._ext)

mmcv_ops = pytest.importorskip("mmcv.ops", reason="the extra mmbackbones[mm] is not installed")

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]


def attention_inputs() -> tuple[Tensor, ...]:
    shapes = torch.tensor([[4, 5], [2, 3]])
    value = torch.randn(2, 26, 2, 3, dtype=torch.float64, requires_grad=True)
    places = (torch.rand(2, 7, 2, 2, 3, 2, dtype=torch.float64) * 1.4 - 0.2).requires_grad_()
    weights = torch.rand(2, 7, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    return value, shapes, torch.tensor([0, 20]), places, weights


def test_deformable_attention() -> None:
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
        multi_scale_deformable_attn_pytorch,
    )

    value, shapes, start, places, weights = attention_inputs()
    apply = MultiScaleDeformableAttnFunction.apply
    ours = apply(value, shapes, start, places, weights, 64)
    torch.testing.assert_close(ours, multi_scale_deformable_attn_pytorch(value, shapes, places, weights))
    assert torch.autograd.gradcheck(
        lambda v, p, w: apply(v, shapes, start, p, w, 64), (value, places, weights), fast_mode=True
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_carafe_equals_the_written_out_sum(groups: int) -> None:
    kernel, scale = 3, 2
    features = torch.randn(2, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    masks = torch.randn(2, groups * kernel**2, 6, 8, dtype=torch.float64, requires_grad=True)
    windows = F.unfold(features, kernel, padding=1).view(2, groups, 4 // groups, kernel**2, 3, 4)
    windows = windows.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
    expected = (windows * masks.view(2, groups, 1, kernel**2, 6, 8)).sum(3).view(2, 4, 6, 8)
    torch.testing.assert_close(mmcv_ops.carafe(features, masks, kernel, groups, scale), expected)
    torch.testing.assert_close(mmcv_ops.carafe_naive(features, masks, kernel, groups, scale), expected)
    assert torch.autograd.gradcheck(
        lambda f, m: mmcv_ops.carafe(f, m, kernel, groups, scale), (features, masks), fast_mode=True
    )


@pytest.mark.parametrize("kind", ["collect", "distribute"])
@pytest.mark.parametrize("mask_size", [(3, 5), (9, 7)])
def test_psa_mask(kind: str, mask_size: tuple[int, int]) -> None:
    height, width = 4, 3
    masks = torch.randn(
        2, mask_size[0] * mask_size[1], height, width, dtype=torch.float64, requires_grad=True
    )
    expected = torch.zeros(2, height * width, height * width, dtype=torch.float64)
    for own in range(height * width):
        for tap in range(mask_size[0] * mask_size[1]):
            y = own // width + tap // mask_size[1] - (mask_size[0] - 1) // 2
            x = own % width + tap % mask_size[1] - (mask_size[1] - 1) // 2
            if 0 <= y < height and 0 <= x < width:
                pair = (y * width + x, own) if kind == "collect" else (own, y * width + x)
                expected[:, pair[0], pair[1]] = masks[:, tap, own // width, own % width].detach()
    layer = mmcv_ops.PSAMask(kind, mask_size)
    torch.testing.assert_close(layer(masks).flatten(2), expected)
    assert torch.autograd.gradcheck(layer, (masks,), fast_mode=True)


def test_criss_cross_attention_and_corner_pool_need_no_extension() -> None:
    x = torch.randn(1, 16, 5, 6)
    assert mmcv_ops.CrissCrossAttention(16)(x).shape == x.shape
    torch.testing.assert_close(mmcv_ops.CornerPool("bottom")(x), x.cummax(2).values)


def test_sync_batch_norm_of_one_process_is_batch_norm(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        ours, stock = mmcv_ops.SyncBatchNorm(4), torch.nn.BatchNorm2d(4)
    finally:
        torch.distributed.destroy_process_group()
    stock.load_state_dict(ours.state_dict())
    x = torch.randn(3, 4, 5, 6, requires_grad=True)
    weight = torch.randn(3, 4, 5, 6)
    results = []
    for norm in (ours, stock):
        y = norm(x)
        grads = torch.autograd.grad(y, (x, norm.weight, norm.bias), weight)
        results.append((y, *grads, norm.running_mean, norm.running_var))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("weighted", [False, True])
def test_sigmoid_focal_loss(weighted: bool, device: str) -> None:
    logits = (torch.randn(9, 4, dtype=torch.float64, device=device) * 3).requires_grad_()
    target = torch.tensor([0, 1, 2, 3, 4, 0, -1, 2, 4], device=device)  # 4 and -1 are background
    weight = torch.rand(4, dtype=torch.float64, device=device) if weighted else None
    ours = mmcv_ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, "none")
    hits = (target[:, None] == torch.arange(4, device=device)).double()
    expected = torchvision.ops.sigmoid_focal_loss(logits, hits, 0.25, 2.0)
    if weight is not None:
        known = ((target >= 0) & (target < 4))[:, None]
        expected = torch.where(known, expected * weight[target.clamp(0, 3)][:, None], expected)
    torch.testing.assert_close(ours, expected)
    assert torch.autograd.gradcheck(
        lambda t: mmcv_ops.sigmoid_focal_loss(t, target, 1.5, 0.25, weight, "mean"), (logits,)
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_softmax_focal_loss(weighted: bool) -> None:
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 1, 2, 3, -1, 1])
    weight = torch.rand(4, dtype=torch.float64) if weighted else None
    p = logits.softmax(1).gather(1, target.clamp(min=0)[:, None])[:, 0]
    expected = -0.25 * (1 - p) ** 2 * p.log() * (1 if weight is None else weight[target.clamp(min=0)])
    expected = expected * (target >= 0)
    torch.testing.assert_close(
        mmcv_ops.softmax_focal_loss(logits, target, 2.0, 0.25, weight, "none"), expected
    )
    assert torch.autograd.gradcheck(
        lambda t: mmcv_ops.softmax_focal_loss(t, target, 2.0, 0.25, weight, "sum"), (logits,)
    )


def test_focal_losses_stay_finite_at_the_limits() -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    for loss in (mmcv_ops.sigmoid_focal_loss, mmcv_ops.softmax_focal_loss):
        value = loss(logits, torch.tensor([0, 0]), 0.5, 0.25, None, "sum")
        assert value.isfinite()
        assert torch.autograd.grad(value, logits)[0].isfinite().all()
