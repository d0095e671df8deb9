"""RoIAlign, RoIPool and deformable RoI pooling of the provider against torchvision and written-out loops."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torchvision
from torch import Tensor

import mmbackbones  # noqa: F401 (offers mmcv._ext)

pytest.importorskip("mmcv", reason="the extra mmbackbones[mm] is not installed")
from mmcv.ops import DeformRoIPool, RoIAlign, RoIPool  # noqa: E402
from mmcv.ops.deform_roi_pool import deform_roi_pool  # noqa: E402

from mmbackbones.errors import InputError  # noqa: E402
from mmbackbones.ops import roi_align as provider  # noqa: E402

HEIGHT, WIDTH, SCALE = 13, 17, 0.25
EDGE_BOXES = [  # image, x1, y1, x2, y2 in pixels of a 68 x 52 image
    (0, 4.0, 6.0, 40.0, 30.0),
    (1, 0.0, 0.0, 68.0, 52.0),  # the whole image
    (0, 10.3, 7.7, 12.1, 9.9),  # less than a cell
    (1, -30.0, -20.0, 20.0, 15.0),  # over the corner
    (0, 50.0, 40.0, 120.0, 90.0),
    (0, 200.0, 10.0, 260.0, 40.0),  # beside the map
    (1, -300.0, -300.0, -200.0, -200.0),
    (0, 20.0, 20.0, 20.0, 20.0),  # empty
    (1, 20.0, 20.0, 20.0, 44.0),  # a line
    (0, 30.0, 30.0, 10.0, 10.0),  # inside out
    (1, -2000.0, 10.0, 3000.0, 20.0),  # far beyond both sides
    (0, -4.0, -4.0, 72.0, 56.0),  # samples exactly on the outer limits
]


def random_boxes(count: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=rng) * torch.tensor([80.0, 60.0]) - 10
    side = torch.rand(count, 2, generator=rng).square() * 60
    image = torch.randint(0, 2, (count, 1), generator=rng)
    return torch.cat([image, corner, corner + side], 1)


def boxes(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.cat([torch.tensor(EDGE_BOXES), random_boxes(20)]).to(dtype)


def feature_map(
    channels: int = 5, dtype: torch.dtype = torch.float32, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(2, channels, *size, generator=rng).to(dtype).requires_grad_()


def gradient(output: Tensor, x: Tensor) -> Tensor:
    rng = torch.Generator().manual_seed(2)
    weight = torch.randn(output.shape, generator=rng).to(output.dtype)
    return torch.autograd.grad(output, x, weight)[0]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(7, 7), (3, 5), (1, 1)])
def test_mean_equals_torchvision(aligned: bool, ratio: int, size: tuple[int, int]) -> None:
    x = feature_map()
    ours = RoIAlign(size, SCALE, ratio, "avg", aligned)(x, boxes())
    stock = torchvision.ops.roi_align(x, boxes(), size, SCALE, ratio, aligned)
    torch.testing.assert_close(ours, stock, atol=1e-4, rtol=0)
    torch.testing.assert_close(gradient(ours, x), gradient(stock, x), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("count", "alone"), [(1, []), (6, []), (400, [0, 1])])
def test_few_and_many_boxes_take_different_ways_to_the_same_values(count: int, alone: list[int]) -> None:
    x, rois = feature_map(), random_boxes(count, seed=count)
    groups = [image for image, *_ in provider._groups(rois, x, SCALE, True)]
    assert groups == (alone or [None])
    ours = RoIAlign(7, SCALE, 0)(x, rois)
    stock = torchvision.ops.roi_align(x, rois, 7, SCALE, 0, True)
    torch.testing.assert_close(ours, stock, atol=1e-4, rtol=0)
    torch.testing.assert_close(gradient(ours, x), gradient(stock, x), atol=1e-4, rtol=0)


def test_many_images_of_one_channel_as_for_mask_targets() -> None:
    x = torch.rand(150, 1, 20, 30).round()
    rois = torch.cat([torch.arange(150.0)[:, None], random_boxes(150)[:, 1:] / 3], 1).flip(0)
    ours = RoIAlign(5, 1.0, 0)(x, rois)
    torch.testing.assert_close(ours, torchvision.ops.roi_align(x, rois, 5, 1.0, 0, True), atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (6, 1)])
def test_maps_of_one_row_or_column(shape: tuple[int, int], mode: str) -> None:
    x = torch.randn(1, 2, *shape, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, -1.0, -1.0, 12.0, 12.0], [0, 0.0, 0.0, 3.0, 2.0]], dtype=torch.float64)
    ours = RoIAlign(2, 0.5, 2, mode)(x, rois)
    torch.testing.assert_close(ours, naive_roi_align(x, rois, (2, 2), 0.5, 2, True, mode))
    assert torch.autograd.gradcheck(lambda t: RoIAlign(2, 0.5, 2, mode)(t, rois), (x,))


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_written_out_loop(mode: str, aligned: bool, ratio: int) -> None:
    x, rois = feature_map(2, torch.float64), boxes(torch.float64)
    rois = rois[(rois[:, 1:].abs() < 1000).all(1)]  # the loop would take hours over the widest box
    ours = RoIAlign((3, 2), SCALE, ratio, mode, aligned)(x, rois)
    expected = naive_roi_align(x, rois, (3, 2), SCALE, ratio, aligned, mode)
    torch.testing.assert_close(ours, expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(gradient(ours, x), gradient(expected, x), atol=1e-9, rtol=0)


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_gradcheck(mode: str) -> None:
    x = feature_map(1, torch.float64, (5, 6))
    rois = boxes(torch.float64)[:14] / 2.5
    rois[:, 0] = (rois[:, 0] > 0).double()
    assert torch.autograd.gradcheck(lambda t: RoIAlign(2, SCALE, 0, mode)(t, rois), (x,))


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_no_boxes(mode: str) -> None:
    x = feature_map()
    pooled = RoIAlign(7, SCALE, 0, mode)(x, torch.zeros(0, 5))
    assert pooled.shape == (0, 5, 7, 7)
    assert gradient(pooled, x).eq(0).all()


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_box_without_samples_is_zero_and_without_gradient(mode: str) -> None:
    x = feature_map()
    pooled = RoIAlign(7, SCALE, 0, mode)(x, torch.tensor([[0, 20.0, 20.0, 20.0, 20.0]]))
    assert pooled.eq(0).all()
    assert gradient(pooled, x).eq(0).all()


def test_box_that_is_not_finite_gives_nan_and_leaves_the_others() -> None:
    x = feature_map()
    rois = boxes()[:4].clone()
    rois[1, 2], rois[2, 3] = math.nan, math.inf
    pooled = RoIAlign(2, SCALE, 0)(x, rois)
    assert pooled[1:3].isnan().all()
    torch.testing.assert_close(pooled[[0, 3]], RoIAlign(2, SCALE, 0)(x, rois[[0, 3]]))
    assert pooled[[0, 3]].isfinite().all()


def test_box_of_an_image_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"images 0\.\.2, but the batch has 2"):
        RoIAlign(2, SCALE, 0)(feature_map(), torch.tensor([[0, 1.0, 1, 9, 9], [2, 1, 1, 9, 9]]))


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_channels_last_maps_and_given_tensors_unchanged(mode: str) -> None:
    x, rois = feature_map(), boxes()
    before = x.detach().clone(), rois.clone()
    plain = RoIAlign(3, SCALE, 0, mode)(x, rois)
    last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    ours = RoIAlign(3, SCALE, 0, mode)(last, rois)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(gradient(ours, last), gradient(plain, x), atol=1e-5, rtol=0)
    assert torch.equal(x, before[0])
    assert torch.equal(rois, before[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_maps_are_pooled_in_float32(dtype: torch.dtype) -> None:
    x, rois = feature_map(), boxes()
    narrow = x.detach().to(dtype).requires_grad_()
    ours = RoIAlign(3, SCALE, 0)(narrow, rois)
    exact = RoIAlign(3, SCALE, 0)(narrow.detach().float(), rois)
    assert ours.dtype == dtype
    assert torch.equal(ours, exact.to(dtype))
    assert gradient(ours, narrow).dtype == dtype


def test_autocast_does_not_narrow_the_products() -> None:
    x, rois = feature_map(), boxes()
    plain = RoIAlign(3, SCALE, 0)(x, rois)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(RoIAlign(3, SCALE, 0)(x, rois), plain)


def test_the_way_through_torchvision_that_cuda_takes() -> None:
    """The same operators that the CUDA branch calls, here on the CPU: names and arguments fit."""
    x, rois = feature_map(), boxes()
    stock = torchvision.ops.roi_align(x, rois, (3, 2), SCALE, 0, True)
    backward = torch.ops.torchvision._roi_align_backward
    grad = torch.ones_like(stock)
    by_operator = backward(grad, rois, SCALE, 3, 2, *x.shape, 0, True)
    torch.testing.assert_close(by_operator, torch.autograd.grad(stock, x, grad)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("mode", ["avg", "max"])
def test_cuda_equals_cpu(mode: str) -> None:
    x, rois = feature_map(), boxes()
    cpu = RoIAlign(3, SCALE, 0, mode)(x, rois)
    on_device = x.detach().cuda().requires_grad_()
    ours = RoIAlign(3, SCALE, 0, mode)(on_device, rois.cuda())
    torch.testing.assert_close(ours.cpu(), cpu, atol=1e-4, rtol=0)
    ours.square().sum().backward()
    expected = torch.autograd.grad(cpu.square().sum(), x)[0]
    torch.testing.assert_close(on_device.grad.cpu(), expected, atol=1e-3, rtol=0)


def test_memory_stays_bounded_when_boxes_reach_far_beyond_the_map() -> None:
    """Samples are listed only where the map is: 1e7 cells of box cost no more than the map's."""
    from mmbackbones.ops.sampling import samples

    points = samples(torch.tensor([-1e7]), torch.tensor([1e7]), 7, 50, 0, True)
    assert points.place.shape[2] <= 50 + 5
    assert int(points.live.sum()) == 51  # one per cell from -1 to 50, one sample a cell


def naive_roi_align(
    x: Tensor,
    rois: Tensor,
    bins: tuple[int, int],
    scale: float,
    ratio: int,
    aligned: bool,
    mode: str,
) -> Tensor:
    """RoIAlign from its definition, sample by sample."""
    shift = 0.5 if aligned else 0.0
    boxes_out = []
    for roi in rois:
        x1, y1, x2, y2 = (roi[1:] * scale - shift).tolist()
        sides = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1), max(x2 - x1, 1))
        grid = [ratio or max(math.ceil(side / n), 0) for side, n in zip(sides, bins, strict=True)]
        step = [side / n / max(g, 1) for side, n, g in zip(sides, bins, grid, strict=True)]
        cells = []
        for i, j in itertools.product(range(bins[0]), range(bins[1])):
            found = [
                bilinear(
                    x[int(roi[0])],
                    y1 + (i * grid[0] + a + 0.5) * step[0],
                    x1 + (j * grid[1] + b + 0.5) * step[1],
                )
                for a, b in itertools.product(range(grid[0]), range(grid[1]))
            ]
            values = torch.stack(found) if found else x.new_zeros(1, x.shape[1])
            cells.append(values.mean(0) if mode == "avg" else values.max(0).values)
        boxes_out.append(torch.stack(cells, 1).view(-1, *bins))
    return torch.stack(boxes_out)


def bilinear(cells: Tensor, y: float, x: float) -> Tensor:
    """One sample of ``cells`` (C, H, W); 0 more than a cell outside."""
    _, height, width = cells.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return cells[:, 0, 0] * 0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = cells[:, top, left] * (1 - x + left) + cells[:, top, right] * (x - left)
    lower = cells[:, bottom, left] * (1 - x + left) + cells[:, bottom, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


def naive_roi_pool(x: Tensor, rois: Tensor, bins: tuple[int, int], scale: float) -> Tensor:
    """RoIPool from mmcv's definition, bin by bin."""
    out = x.new_zeros(len(rois), x.shape[1], *bins)
    for n, roi in enumerate(rois):
        x1, y1 = (roi[1:3] * scale).tolist()
        x2, y2 = ((roi[3:] + 1) * scale).tolist()
        if x2 <= x1 or y2 <= y1:
            continue
        for i, j in itertools.product(range(bins[0]), range(bins[1])):
            top, bottom = (
                math.floor(i * ((y2 - y1) / bins[0]) + y1),
                math.ceil((i + 1) * ((y2 - y1) / bins[0]) + y1),
            )
            left, right = (
                math.floor(j * ((x2 - x1) / bins[1]) + x1),
                math.ceil((j + 1) * ((x2 - x1) / bins[1]) + x1),
            )
            window = x[int(roi[0]), :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
            if window.numel():
                out[n, :, i, j] = window.amax((1, 2))
    return out


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


def test_the_number_of_threads_is_given_back() -> None:
    x, rois, before = feature_map(), boxes(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gradient(RoIAlign(7, SCALE, 0)(x, rois), x)
        with pytest.raises(InputError):
            RoIAlign(2, SCALE, 0)(x, torch.tensor([[9, 1.0, 1, 9, 9]]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_bench_measures_both_operators_on_drawn_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmbackbones import bench_ops

    monkeypatch.setattr(bench_ops, "MAPS", [("small", 4, 20, 30, 0.125)])
    monkeypatch.setattr(bench_ops, "ROUNDS", 1)
    rows = bench_ops.roi_align_rows(threads=1)
    assert [row["name"] for row in rows] == [f"RoIAlign small, {draw} boxes" for draw in bench_ops.DRAWS]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["torchvision_ms"] / row["ours_ms"])
    for draw in bench_ops.DRAWS:
        drawn = bench_ops.draw_boxes(draw, 160, 240, 0.125, torch.Generator().manual_seed(0))
        assert drawn.shape == (512, 5)
        assert (drawn[:, 1:3] <= drawn[:, 3:]).all()
        assert drawn[:, 1:].min() >= 0
        assert drawn[:, 3].max() <= 240
        assert drawn[:, 4].max() <= 160
