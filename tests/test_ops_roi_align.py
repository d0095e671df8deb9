"""RoIAlign of the provider against torchvision and its definition, called as mmcv calls it."""

from __future__ import annotations

import math
import threading

import pytest
import torch
import torchvision
from roi_cases import SCALE, boxes, feature_map, gradient, naive_roi_align, random_boxes

import mmbackbones  # noqa: F401 (offers mmcv._ext)

pytest.importorskip("mmcv", reason="the extra mmbackbones[mm] is not installed")
from mmcv.ops import RoIAlign  # noqa: E402

from mmbackbones.errors import InputError  # noqa: E402
from mmbackbones.ops import roi_align as provider  # noqa: E402


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(7, 7), (3, 5), (1, 1)])
def test_mean_equals_torchvision(aligned: bool, ratio: int, size: tuple[int, int], last: bool) -> None:
    """In channels_last small boxes are pooled together."""
    x = feature_map()
    if last:
        x = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    ours = RoIAlign(size, SCALE, ratio, "avg", aligned)(x, boxes())
    stock = torchvision.ops.roi_align(x, boxes(), size, SCALE, ratio, aligned)
    torch.testing.assert_close(ours, stock, atol=1e-4, rtol=0)
    torch.testing.assert_close(gradient(ours, x), gradient(stock, x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kept", [provider.KEPT, 5000])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("count", "whole"), [(1, False), (6, False), (400, True)])
def test_few_and_many_boxes_take_different_ways_to_the_same_values(
    count: int, whole: bool, last: bool, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "KEPT", kept)
    monkeypatch.setattr(provider, "CHUNK", 300)
    x, rois = feature_map(), random_boxes(count, seed=count)
    if last:
        x = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    images = [
        image if image is None else image.tolist() for image, *_ in provider.groups(rois, x, SCALE, True)
    ]
    together = [[0, 1]] if kept > 5000 else [[0], [1]]
    assert images == (together if whole and not last else [None])
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


@pytest.mark.parametrize("last", [False, True])
def test_only_the_cells_under_a_box_are_read(last: bool) -> None:
    """Beside it the map may hold what is no number; a bin of fewer cells than another's reads no more."""
    x = torch.full((1, 2, 16, 20), math.nan)
    x[..., 2:7, 3:12] = 1.0
    x = x.to(memory_format=torch.channels_last) if last else x
    rois = torch.tensor([[0, 3.5, 2.5, 11.5, 6.5], [0, 9.6, 4.6, 11.4, 6.4]])
    assert RoIAlign((4, 3), 1.0, 0)(x, rois).eq(1).all()


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


@pytest.mark.parametrize("kept", [provider.KEPT, 5000])
def test_memory_kept_between_calls_carries_nothing_over(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map's memory is used again by the next call, of another size, type and mode; a big one's is not."""
    monkeypatch.setattr(provider, "KEPT", kept)
    for shape, dtype in [((30, 40), torch.float32), ((11, 9), torch.float64), ((30, 40), torch.float32)]:
        x, rois = feature_map(3, dtype, shape), random_boxes(300).to(dtype)
        with torch.inference_mode():
            inferred = RoIAlign(3, SCALE, 0)(x.detach(), rois)
        ours, stock = RoIAlign(3, SCALE, 0)(x, rois), torchvision.ops.roi_align(x, rois, 3, SCALE, 0, True)
        torch.testing.assert_close(ours, stock, atol=1e-4, rtol=0)
        torch.testing.assert_close(inferred, stock, atol=1e-4, rtol=0)
        expected = gradient(stock, x)
        for pooled in (ours, RoIAlign(3, SCALE, 0)(x, rois)):
            torch.testing.assert_close(gradient(pooled, x), expected, atol=1e-4, rtol=0)


def test_autocast_does_not_narrow_the_products() -> None:
    x, rois = feature_map(), boxes()
    plain = RoIAlign(3, SCALE, 0)(x, rois)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(RoIAlign(3, SCALE, 0)(x, rois), plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_way_through_torchvision_that_cuda_takes(dtype: torch.dtype, monkeypatch) -> None:
    """The CUDA branch, here on the CPU: names and arguments fit, also in types that torchvision lacks."""
    x, rois = feature_map(), boxes()
    monkeypatch.setattr(provider, "takes_stock", lambda tensor: True)
    narrow = x.detach().to(dtype)
    output = torch.empty(len(rois), x.shape[1], 3, 2, dtype=dtype)
    provider.roi_align_forward(narrow, rois.to(dtype), output, x, x, 3, 2, SCALE, 0, 1, True)
    grad = torch.zeros_like(narrow)
    provider.roi_align_backward(torch.ones_like(output), rois.to(dtype), x, x, grad, 3, 2, SCALE, 0, 1, True)
    assert (output.dtype, grad.dtype) == (dtype, dtype)
    rounded = rois.to(dtype).float()
    near = torchvision.ops.roi_align(x, rounded, (3, 2), SCALE, 0, True)
    tolerance = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(output.float(), near, atol=tolerance, rtol=tolerance)
    by_hand = torch.autograd.grad(near, x, torch.ones_like(near))[0]
    torch.testing.assert_close(grad.float(), by_hand, atol=tolerance, rtol=tolerance)


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


def test_threads_that_overlap_give_the_number_of_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to enter leaves first, so that the second found what the first had set."""
    x, rois, before = feature_map().detach(), boxes(), torch.get_num_threads()
    entered, leave = ([threading.Event(), threading.Event()] for _ in range(2))
    groups, after = provider.groups, [0, 0, 0]

    def slow_groups(*args: object) -> object:
        number = int(threading.current_thread().name)
        entered[number].set()
        assert leave[number].wait(60)
        return groups(*args)

    def pool(number: int) -> None:
        RoIAlign(7, SCALE, 0)(x, rois)
        after[number] = torch.get_num_threads()

    def look() -> None:
        after[2] = torch.get_num_threads()

    monkeypatch.setattr(provider, "groups", slow_groups)
    threads = [threading.Thread(target=pool, args=(number,), name=str(number)) for number in range(2)]
    torch.set_num_threads(2)
    try:
        for number, thread in enumerate(threads):
            thread.start()
            assert entered[number].wait(60)
        for number, thread in enumerate(threads):
            leave[number].set()
            thread.join(60)
        later = threading.Thread(target=look)
        later.start()
        later.join(60)
        assert (*after, torch.get_num_threads()) == (2, 2, 2, 2)
    finally:
        torch.set_num_threads(before)


def test_bench_measures_both_operators_on_drawn_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmbackbones.bench import operators as bench_ops

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
