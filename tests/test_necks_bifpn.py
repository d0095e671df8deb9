"""BiFPN (arXiv 1911.09070)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from neck_cases import CHANNELS, ceil_div, maps, sizes
from torch import Tensor, nn

from mmbackbones.errors import InputError
from mmbackbones.necks import BiFPN

D0 = [40, 112, 320]  # EfficientNet-B0's C3 to C5


def plain_cell(p: list[Tensor], neck: nn.Module, entries: dict[str, Tensor]) -> list[Tensor]:
    """One cell over five levels as the paper's figure 3 draws it, node after node, written out."""
    fnode = neck.cell[0].fnode
    p3, p4, p5, p6, p7 = p

    def up(x: Tensor, like: Tensor) -> Tensor:
        rows, columns = like.shape[2:]
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :rows, :columns]

    def down(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, 1)

    def node(i: int, *inputs: Tensor) -> Tensor:
        w = fnode[i].combine.edge_weights.clamp(min=0)
        x = sum(w[k] * inputs[k] for k in range(len(inputs))) / (w.sum() + 1e-4)
        conv = fnode[i].after_combine.conv
        return conv.bn(conv.conv_pw(conv.conv_dw(x * x.sigmoid())))

    m6 = node(0, p6, up(p7, p6))
    m5 = node(1, entries["1.2"], up(m6, m6.new_empty(p5.shape)))
    m4 = node(2, entries["2.1"], up(m5, p4))
    n3 = node(3, entries["3.0"], up(m4, p3))
    n4 = node(4, entries["4.1"], m4, down(n3))
    n5 = node(5, entries["5.2"], m5, down(n4))
    n6 = node(6, p6, m6, down(n5))
    return [n3, n4, n5, n6, node(7, p7, down(n6))]


def test_bifpn_equals_the_papers_figure() -> None:
    neck = BiFPN(D0, 16, num_repeats=1).eval()
    for name, parameter in neck.named_parameters():
        nn.init.normal_(parameter, 0.3 if "edge" in name else 0.0, 0.5)
    assert min(p.min() for n, p in neck.named_parameters() if "edge" in n) < 0  # negative ones count as 0
    inputs = maps(D0, (8, 16, 32))
    p6 = F.max_pool2d(neck.resample["3"](inputs[2]), 3, 2, 1)
    entries = {
        f"{node}.{i}": neck.cell[0].fnode[node].combine.resample[str(i)](inputs[i])
        for node, i in [(1, 2), (2, 1), (3, 0), (4, 1), (5, 2)]
    }
    expected = plain_cell([*inputs, p6, F.max_pool2d(p6, 3, 2, 1)], neck, entries)
    torch.testing.assert_close(list(neck(inputs)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("conv_bias", "params"), [(True, 196_281), (False, 194_361)])
def test_bifpn_of_efficientdet_d0(conv_bias: bool, params: int) -> None:
    """196,281 with the paper code's biases; without its 24 + 6 biases of 64 channels, 1,920 less."""
    neck = BiFPN(D0, 64, conv_bias=conv_bias)
    assert sum(p.numel() for p in neck.parameters()) == params
    assert sizes(neck(maps(D0, (8, 16, 32), (512, 512)))) == [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)]
    assert {(m.eps, m.momentum) for m in neck.modules() if isinstance(m, nn.BatchNorm2d)} == {(1e-3, 0.01)}
    names = set(neck.state_dict())  # effdet's
    assert "resample.3.conv.conv.weight" in names
    assert "cell.0.fnode.1.combine.resample.2.conv.bn.running_var" in names
    assert "cell.2.fnode.7.combine.edge_weights" in names
    assert "cell.2.fnode.7.after_combine.conv.conv_pw.weight" in names
    assert "cell.2.fnode.7.after_combine.conv.bn.weight" in names


@pytest.mark.parametrize(("levels", "num_outs"), [(1, 2), (1, 5), (2, 2), (3, 3), (3, 5), (6, 7)])
def test_bifpn_takes_any_number_of_levels(levels: int, num_outs: int) -> None:
    strides = tuple(4 * 2**i for i in range(num_outs))
    inputs = maps([8] * levels, strides[:levels])
    outs = BiFPN([8] * levels, 12, num_outs=num_outs, num_repeats=1)(inputs)
    assert sizes(outs) == [(ceil_div(117, s), ceil_div(171, s)) for s in strides]
    assert {m.shape[1] for m in outs} == {12}


def test_bifpn_cells_and_start_level() -> None:
    one, three = (BiFPN([8, 8], 8, num_outs=2, num_repeats=n) for n in (1, 3))
    assert len(three.cell) == 3 * len(one.cell)
    neck = BiFPN(CHANNELS, 8, num_outs=4, start_level=1)
    assert sizes(neck(maps(CHANNELS)))[:3] == sizes(maps(CHANNELS))[1:]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (dict(num_outs=3), "num_outs=3, but 4 maps are joined: write num_outs=4 or more"),
        (dict(num_outs=1, start_level=3), "num_outs=1, .*write num_outs=2 or more"),
        (dict(start_level=4), "start_level=4, but in_channels has 4 maps: write 0 <= start_level <= 3"),
        (dict(start_level=-1), "start_level=-1"),
        (dict(num_repeats=0), "num_repeats=0: write 1 or more"),
        (dict(act_cfg=dict(type="swish")), "act_cfg has type='swish'"),
    ],
)
def test_bifpn_bad_arguments(args: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BiFPN(CHANNELS, 16, **args)
