"""PAFPN, BiFPN, SimpleFeaturePyramid and ToStrides: the originals' results, any levels, odd sizes."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbackbones.errors import InputError
from mmbackbones.necks import PAFPN, BiFPN, SimpleFeaturePyramid, ToStrides
from mmbackbones.registry import MODELS

CHANNELS = [8, 16, 24, 32]
GN = dict(type="GN", num_groups=4)
NORMS = [dict(type="BN"), dict(type="SyncBN"), GN, dict(type="FrozenBN"), dict(type="LN"), None]
D0 = [40, 112, 320]  # EfficientNet-B0's C3 to C5

PAFPN_CASES = {
    "plain": dict(num_outs=4),
    "pooled": dict(num_outs=6),
    "on-input": dict(num_outs=6, start_level=1, add_extra_convs=True, relu_before_extra_convs=True),
    "on-lateral": dict(num_outs=5, add_extra_convs="on_lateral"),
    "on-output": dict(num_outs=5, start_level=1, add_extra_convs="on_output"),
    "some-levels": dict(num_outs=2, start_level=1, end_level=2),
    "one-level": dict(num_outs=1, start_level=3),
    "bn-not-on-lateral": dict(num_outs=5, norm_cfg=dict(type="BN", eps=1e-3), no_norm_on_lateral=True),
    "gn-relu": dict(num_outs=5, norm_cfg=GN, act_cfg=dict(type="ReLU"), add_extra_convs="on_input"),
}

# Each neck in its smallest useful form, with the channels that it takes.
SMALL = {
    "PAFPN": (PAFPN, CHANNELS, dict(out_channels=16, num_outs=6, add_extra_convs="on_output")),
    "BiFPN": (BiFPN, CHANNELS, dict(out_channels=16, num_outs=5, num_repeats=2)),
    "SimpleFeaturePyramid": (SimpleFeaturePyramid, [32], dict(out_channels=16)),
    "ToStrides": (ToStrides, CHANNELS, dict(out_channels=12, out_strides=(2, 4, 16, 64), learned=True)),
}
EACH = pytest.mark.parametrize("name", SMALL)


def build(name: str, **more: object) -> nn.Module:
    kind, channels, args = SMALL[name]
    return kind(channels, **{**args, **more})


def ceil_div(pixels: int, stride: int) -> int:
    return -(-pixels // stride)


def maps(
    channels: list[int], strides: tuple[int, ...] = (4, 8, 16, 32), image: tuple = (117, 171)
) -> list[Tensor]:
    pairs = zip(channels, strides, strict=True)
    return [torch.randn(2, c, *(ceil_div(side, s) for side in image)) for c, s in pairs]


def fitting(name: str) -> list[Tensor]:
    channels = SMALL[name][1]
    return maps(channels) if len(channels) == 4 else maps(channels, (16,))


def sizes(outs: tuple[Tensor, ...]) -> list[tuple[int, int]]:
    return [tuple(m.shape[2:]) for m in outs]


# --- every neck


@EACH
def test_registered_and_known_to_configs(name: str) -> None:
    kind, channels, args = SMALL[name]
    neck = MODELS.build(dict(type=f"mmbackbones.{name}", in_channels=channels, **args))
    assert type(neck) is kind is MODELS.get(name)
    neck.init_weights()


@EACH
@pytest.mark.parametrize("norm_cfg", NORMS, ids=lambda cfg: cfg["type"] if cfg else "None")
def test_every_parameter_gets_a_gradient(name: str, norm_cfg: dict | None) -> None:
    before = copy.deepcopy(norm_cfg)
    neck = build(name, norm_cfg=norm_cfg)
    outs = neck(fitting(name))
    assert all(m.isfinite().all() for m in outs)
    sum((m * torch.randn_like(m)).sum() for m in outs).backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert norm_cfg == before
    kinds = {"BN": nn.BatchNorm2d, "SyncBN": nn.SyncBatchNorm, "GN": nn.GroupNorm, "LN": nn.LayerNorm}
    present = {kind for kind, layer in kinds.items() if any(isinstance(m, layer) for m in neck.modules())}
    assert present == ({norm_cfg["type"]} & set(kinds) if norm_cfg else set())


@EACH
def test_maps_that_do_not_fit(name: str) -> None:
    neck, inputs = build(name), fitting(name)
    channels = [m.shape[1] for m in inputs]
    wider = [*inputs[:-1], torch.cat([inputs[-1]] * 2, dim=1)]
    advice = rf"{name} was built for maps of \[.*\] channels, but .* arrive: write in_channels=\[.*64\]"
    with pytest.raises(InputError, match=advice):
        neck(wider)
    with pytest.raises(InputError, match=f"but .*{channels[-1]}.* arrive: write in_channels="):
        neck([*inputs, inputs[-1]])
    with pytest.raises(InputError, match=rf"{name} takes a tuple of maps, but one tensor .*\(\(x,\)\)"):
        neck(inputs[0])


@EACH
@pytest.mark.parametrize("channels", [256, [], [0, 8], "64", None])
def test_bad_in_channels(name: str, channels: object) -> None:
    kind, _, args = SMALL[name]
    with pytest.raises(
        InputError, match=r"in_channels=.*: write the channels of each map .*in_channels=\[256"
    ):
        kind(channels, **args)


@EACH
def test_bad_norms_and_unknown_arguments(name: str) -> None:
    with pytest.raises(InputError, match="norm_cfg type 'LayerNorm' is unknown. Allowed: BN, .*, LN"):
        build(name, norm_cfg=dict(type="LayerNorm"))
    with pytest.raises(InputError, match=r"norm_cfg of LN has no \['num_groups'\]. Allowed: eps"):
        build(name, norm_cfg=dict(type="LN", num_groups=2))
    with pytest.raises(InputError, match=r"GN cannot cut \d+ channels into num_groups=7: write a divisor"):
        build(name, norm_cfg=dict(type="GN", num_groups=7))
    with pytest.raises(TypeError, match="num_out'"):
        build(name, num_out=5)


@EACH
def test_bf16_channels_last_and_state_dict(name: str) -> None:
    neck, inputs = build(name).eval(), fitting(name)
    twin = build(name).eval()
    twin.load_state_dict(neck.state_dict())
    with torch.no_grad():
        outs = neck(inputs)
        torch.testing.assert_close(twin(inputs), outs, rtol=0, atol=0)
        last = [m.to(memory_format=torch.channels_last) for m in inputs]
        torch.testing.assert_close(
            twin.to(memory_format=torch.channels_last)(last), outs, rtol=1e-4, atol=1e-5
        )
        with torch.autocast("cpu", torch.bfloat16):
            assert all(m.isfinite().all() for m in neck(inputs))


@EACH
def test_compiles_without_breaks(name: str) -> None:
    neck, inputs = build(name).eval(), fitting(name)
    compiled = torch.compile(neck, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(inputs), neck(inputs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [PAFPN, BiFPN])
def test_maps_that_skip_a_stride(kind: type) -> None:
    neck = kind([8, 16], 8, num_outs=2)
    with pytest.raises(
        InputError, match=rf"{kind.__name__} takes maps that halve .*after \(30, 43\) comes \(15, 22\)"
    ):
        neck(maps([8, 16], (4, 16)))


# --- PAFPN


@pytest.mark.parametrize("case", PAFPN_CASES)
def test_pafpn_equals_mmdet(case: str) -> None:
    from mmdet.models import necks

    args = dict(in_channels=CHANNELS, out_channels=16, **PAFPN_CASES[case])
    theirs, ours = necks.PAFPN(**copy.deepcopy(args)), PAFPN(**copy.deepcopy(args))
    theirs.init_weights()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for image in [(128, 192), (117, 171)]:
        inputs = maps(CHANNELS, image=image)
        for training in (True, False):
            expected, got = theirs.train(training)(inputs), ours.train(training)(inputs)
            assert len(got) == args["num_outs"]
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("levels", [1, 2, 3, 6])
def test_pafpn_takes_any_number_of_levels(levels: int) -> None:
    strides = tuple(4 * 2**i for i in range(levels))
    inputs = maps(list(range(8, 8 + levels)), strides)
    outs = PAFPN([m.shape[1] for m in inputs], 8, num_outs=levels + 1)(inputs)
    assert sizes(outs[:-1]) == sizes(inputs)
    assert {m.shape[1] for m in outs} == {8}


# --- BiFPN


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


# --- SimpleFeaturePyramid


def test_simple_feature_pyramid_equals_the_papers_layers() -> None:
    neck = SimpleFeaturePyramid([32], 8)
    for parameter in neck.parameters():
        nn.init.normal_(parameter, 0.1, 0.4)
    state = neck.state_dict()  # detectron2's names
    used = set()

    def take(key: str) -> Tensor:
        used.add(key)
        return state[key]

    def norm(x: Tensor, key: str) -> Tensor:
        mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)
        scale, shift = (take(f"{key}.{which}")[:, None, None] for which in ("weight", "bias"))
        return (x - mean) / (var + 1e-6).sqrt() * scale + shift

    def up(x: Tensor, key: str) -> Tensor:
        return F.conv_transpose2d(x, take(f"{key}.weight"), take(f"{key}.bias"), stride=2)

    def ends(x: Tensor, first: int, stage: int) -> Tensor:
        keys = (f"simfp_{stage}.{first}", f"simfp_{stage}.{first + 1}")
        x = norm(F.conv2d(x, take(f"{keys[0]}.weight")), f"{keys[0]}.norm")
        return norm(F.conv2d(x, take(f"{keys[1]}.weight"), padding=1), f"{keys[1]}.norm")

    x = torch.randn(2, 32, 6, 4)
    p2 = up(F.gelu(norm(up(x, "simfp_2.0"), "simfp_2.1")), "simfp_2.3")
    p5 = ends(F.max_pool2d(x, 2), 1, 5)
    expected = [ends(p2, 4, 2), ends(up(x, "simfp_3.0"), 1, 3), ends(x, 0, 4), p5, p5[..., ::2, ::2]]
    torch.testing.assert_close(list(neck([x])), expected, rtol=1e-4, atol=1e-4)
    assert used == set(state)


@pytest.mark.parametrize(
    ("args", "strides"),
    [
        ({}, (4, 8, 16, 32, 64)),
        (dict(num_outs=6), (4, 8, 16, 32, 64, 128)),
        (dict(num_outs=1, out_strides=(2,)), (2,)),
        (dict(num_outs=2, out_strides=(8, 32)), (8, 32)),
        (dict(num_outs=3, out_strides=(16, 64)), (16, 64, 128)),
        (dict(num_outs=4, in_stride=8, out_strides=(4, 8, 16, 32)), (4, 8, 16, 32)),
    ],
)
def test_simple_feature_pyramid_strides(args: dict, strides: tuple[int, ...]) -> None:
    neck = SimpleFeaturePyramid([32], 8, **args)
    stride = args.get("in_stride", 16)
    image = (7 * stride, 5 * stride)  # odd cells
    outs = neck(maps([32], (stride,), image))
    assert sizes(outs) == [(ceil_div(image[0], s), ceil_div(image[1], s)) for s in strides]


def test_simple_feature_pyramid_takes_the_last_of_more_maps() -> None:
    neck = SimpleFeaturePyramid([8, 32], 8)
    fine, last = maps([8, 32], (8, 16))
    outs = neck((fine, last))
    assert sizes(outs)[2] == tuple(last.shape[2:])
    torch.testing.assert_close(neck((fine + 1, last)), outs, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (dict(num_outs=3), r"num_outs=3, but out_strides=\(4, 8, 16, 32\) are 4 levels: write num_outs=4"),
        (dict(in_stride=14), "in_stride=14 .*write powers of two"),
        (dict(out_strides=(8, 4)), r"out_strides=\(8, 4\): write powers of two, fine to coarse"),
        (dict(out_strides=()), r"out_strides=\(\)"),
        (dict(out_strides=(1, 16)), "8 channels cannot be halved down to stride 1"),
    ],
)
def test_simple_feature_pyramid_bad_arguments(args: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SimpleFeaturePyramid([8], 16, **args)


# --- ToStrides


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
