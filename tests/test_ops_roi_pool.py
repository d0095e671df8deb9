"""RoIPool and deformable RoI pooling of the provider, called as mmcv calls them."""

from __future__ import annotations

import itertools

import pytest
import torch
import torchvision
from roi_cases import SCALE, boxes, feature_map, gradient, naive_roi_pool, random_boxes

import mmbackbones  # noqa: F401 (offers mmcv._ext)

pytest.importorskip("mmcv", reason="the extra mmbackbones[mm] is not installed")
from mmcv.ops import DeformRoIPool, RoIPool  # noqa: E402
from mmcv.ops.deform_roi_pool import deform_roi_pool  # noqa: E402


def test_roi_pool_equals_the_written_out_loop() -> None:
    x, rois = feature_map(3, torch.float64), boxes(torch.float64)
    ours = RoIPool((3, 2), SCALE)(x, rois)
    expected = naive_roi_pool(x, rois, (3, 2), SCALE)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradient(ours, x), gradient(expected, x))
    assert RoIPool(2, SCALE)(x, rois[:0]).shape == (0, 3, 2, 2)


def test_roi_pool_gradcheck() -> None:
    x, rois = feature_map(1, torch.float64, (5, 6)), boxes(torch.float64)[:10]
    assert torch.autograd.gradcheck(lambda t: RoIPool(2, SCALE)(t, rois), (x,))


@pytest.mark.parametrize("ratio", [0, 2])
def test_deform_roi_pool_without_offset_is_roi_align(ratio: int) -> None:
    x, rois = feature_map(), boxes()
    ours = DeformRoIPool((3, 2), SCALE, ratio)(x, rois)
    stock = torchvision.ops.roi_align(x, rois, (3, 2), SCALE, ratio, True)
    torch.testing.assert_close(ours, stock, atol=1e-4, rtol=0)
    torch.testing.assert_close(gradient(ours, x), gradient(stock, x), atol=1e-4, rtol=0)


def test_deform_roi_pool_moves_each_bin() -> None:
    """A bin moved by an offset is a RoIAlign of one bin at the moved place."""
    x = feature_map(3, torch.float64)
    rois = torch.tensor([[1, 8.0, 8.0, 40.0, 32.0]], dtype=torch.float64)
    offset = torch.randn(1, 2, 2, 2, dtype=torch.float64)
    ours = deform_roi_pool(x, rois, offset, (2, 2), SCALE, 3, 0.1)
    size = torch.tensor([32.0, 24.0], dtype=torch.float64)
    for i, j in itertools.product(range(2), range(2)):
        corner = rois[0, 1:3] + torch.tensor([j, i]) * size / 2 + 0.1 * size * offset[0, :, i, j]
        moved = torch.cat([rois[0, :1], corner, corner + size / 2])[None]
        expected = torchvision.ops.roi_align(x, moved, 1, SCALE, 3, True)
        torch.testing.assert_close(ours[0, :, i, j], expected[0, :, 0, 0])


def test_deform_roi_pool_gradcheck() -> None:
    x, rois = feature_map(1, torch.float64, (9, 10)), random_boxes(4).double()
    offset = torch.randn(4, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda t, o: deform_roi_pool(t, rois, o, (2, 2), SCALE, 2, 0.1), (x, offset)
    )
