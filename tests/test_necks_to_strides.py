"""ToStrides: maps of any size to the strides that are asked."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from neck_cases import CHANNELS, ceil_div, maps, sizes

from mmbackbones.errors import InputError
from mmbackbones.necks import ToStrides


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("arriving", [(4, 8, 16, 32), (8,), (4, 32), (16, 8)])
def test_to_strides_gives_exact_sizes(arriving: tuple[int, ...], learned: bool) -> None:
    finest = min(arriving)
    wanted = (finest // 2, *(s for s in (4, 8, 16, 32, 64) if s >= finest))
    neck = ToStrides([8] * len(arriving), 12, arriving, wanted, learned)
    assert (neck.out_strides, neck.out_channels) == (wanted, (12,) * len(wanted))
    for image in [(128, 64), (117, 171), (65, 64), (127, 99)]:
        outs = neck(maps([8] * len(arriving), arriving, image))
        assert sizes(outs)[1:] == [(ceil_div(image[0], s), ceil_div(image[1], s)) for s in wanted[1:]]
        # finer than all that arrives: the largest image that gives the maps' sizes
        assert sizes(outs)[0] == tuple(2 * ceil_div(side, finest) for side in image)
        assert {m.shape[1] for m in outs} == {12}


@pytest.mark.parametrize("patch", [14, 8, 32, 12])
def test_to_strides_from_any_patch_size(patch: int) -> None:
    neck = ToStrides([8], in_strides=[patch], out_strides=(4, 8, 16, 32))
    for cells in [(16, 16), (37, 23)]:
        image = (cells[0] * patch, cells[1] * patch)
        outs = neck(maps([8], (patch,), image))
        assert sizes(outs) == [(ceil_div(image[0], s), ceil_div(image[1], s)) for s in (4, 8, 16, 32)]


@pytest.mark.parametrize(
    ("stride", "wanted"), [(16, 4), (16, 8), (4, 8), (4, 32), (14, 16), (14, 8), (12, 16)]
)
def test_to_strides_keeps_every_cell_in_its_place(stride: int, wanted: int) -> None:
    """A map that holds the pixel coordinates of its cells' centres holds them afterwards too."""
    image = (stride * 41, stride * 33)  # odd numbers of cells: an interpolation to a size would stretch them
    rows, columns = (torch.arange(side // stride) for side in image)
    x = torch.stack(torch.meshgrid((rows + 0.5) * stride, (columns + 0.5) * stride, indexing="ij"))[None]
    (out,) = ToStrides([2], in_strides=[stride], out_strides=[wanted])([x])
    for axis, side in enumerate(image):
        centres = (torch.arange(out.shape[2 + axis]) + 0.5) * wanted
        inside = (centres > stride) & (centres < side - max(stride, wanted))  # borders have no neighbour
        got = out[0, axis].movedim(axis, 0)[inside]
        assert len(got) > 2
        torch.testing.assert_close(got, centres[inside, None].expand_as(got), rtol=0, atol=1e-3)


def test_to_strides_loses_no_cell_to_rounding() -> None:
    """45 * (7 / 5) is 62.999... in floating point."""
    (out,) = ToStrides([8], in_strides=[7], out_strides=[5])(maps([8], (7,), (45 * 7, 90)))
    assert sizes((out,)) == [(63, ceil_div(91, 5))]


def test_to_strides_without_parameters() -> None:
    neck = ToStrides(CHANNELS, out_strides=(32, 8, 64))
    assert list(neck.parameters()) == []
    assert neck.out_channels == (32, 16, 32)
    inputs = maps(CHANNELS)
    outs = neck(inputs)
    assert torch.equal(outs[0], inputs[3])
    assert torch.equal(outs[1], inputs[1])
    torch.testing.assert_close(outs[2], F.avg_pool2d(inputs[3], 2, ceil_mode=True))
    torch.testing.assert_close(outs[2][..., -1:, -1:].sum(), inputs[3][..., -2:, -2:].mean((2, 3)).sum())


def test_to_strides_takes_the_nearest_map_and_of_two_the_finer() -> None:
    neck = ToStrides([8, 16, 24], in_strides=(4, 16, 64), out_strides=(2, 8, 32, 128))
    assert neck.out_channels == (8, 8, 16, 24)
    dilated = ToStrides([8, 16, 24], in_strides=(4, 8, 8), out_strides=(8, 16))
    assert dilated.out_channels == (24, 24)  # of equal strides the deepest


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (dict(in_strides=(4, 8)), r"in_strides=\(4, 8\), but in_channels=.* are 4 maps: write one stride"),
        (dict(out_strides=()), r"out_strides=\(\): write strides in pixels"),
        (dict(out_strides=(4, 0)), r"out_strides=\(4, 0\): write strides"),
        (
            dict(in_strides=(14, 28, 56, 112), out_strides=(16,), learned=True),
            "stride 16 .* 14: write learned=False",
        ),
    ],
)
def test_to_strides_bad_arguments(args: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ToStrides(CHANNELS, **args)


def test_to_strides_of_maps_that_belong_to_no_image() -> None:
    with pytest.raises(InputError, match="no image has .* write the backbone's strides in in_strides"):
        ToStrides(CHANNELS)(maps(CHANNELS, (4, 8, 16, 16)))
