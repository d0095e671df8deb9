"""Contract points 1, 3, 4, 5, 10 and 11, swept over the whole catalog."""

import copy
import itertools
import math
import pickle

import pytest
import torch
from cases import DILATABLE, LIGHT, NAMES, SWEEP, blank, built, close, copied, gate_values_from, on_meta
from torch import Tensor

import mmbackbones
from mmbackbones import InputError
from mmbackbones.catalog.spec import PYRAMID
from mmbackbones.feature_nets.specs import without_values
from mmbackbones.tracing.shapes import ShapesOnly

#: Sizes with values, of light nets; the others run on the meta device, where only shapes are known.
SMALL = [(64, 64), (97, 133)]
SIZES = [(64, 64), (224, 224), (256, 320), (333, 517)]


@pytest.mark.parametrize("name", NAMES)
def test_maps_have_the_exact_size_channels_and_strides(name: str) -> None:
    light = name in LIGHT
    net = built(name) if light else without_values(lambda: mmbackbones.build(name)).eval()
    spec = mmbackbones.get_spec(name)
    assert net.out_strides == tuple(s for s in PYRAMID if s in spec.channels)
    assert net.out_channels == tuple(spec.channels[s] for s in net.out_strides)
    twin = on_meta(net)
    for device, sizes in (("cpu", SMALL if light else []), ("meta", SIZES)):
        for height, width in sizes:
            with torch.no_grad(), ShapesOnly():
                maps = (net if device == "cpu" else twin)(torch.rand(2, 3, height, width, device=device))
            assert isinstance(maps, tuple)
            for fmap, stride, channels in zip(maps, net.out_strides, net.out_channels, strict=True):
                assert fmap.shape == (2, channels, math.ceil(height / stride), math.ceil(width / stride))
                assert device == "meta" or torch.isfinite(fmap).all()


def is_the_ordinary_map(dense: Tensor, ordinary: Tensor, step: int) -> bool:
    """Whether every ``step``-th cell of a dilated net's map is a cell of the ordinary map, and all are."""
    sampled = dense[..., ::step, ::step]
    return sampled.shape == ordinary.shape and bool(ordinary.std() > 0) and close(sampled, ordinary, 1e-4)


@pytest.mark.parametrize("name", DILATABLE)
def test_dilated_net_sampled_equals_the_ordinary_net(name: str) -> None:
    """The algorithme a trous is exact; what reads the whole map is held at the ordinary net's values."""
    plain = copied(name)
    x = torch.rand(1, 3, 65, 98)
    with gate_values_from(plain) as held:
        ordinary = plain(x)
    for output_stride in (8, 16):
        dilated = blank(name, output_stride=output_stride).eval()
        assert dilated.out_strides == tuple(min(s, output_stride) for s in plain.out_strides)
        dilated.load_state_dict(plain.state_dict())
        held.give(dilated)
        with torch.no_grad():
            maps = dilated(x)
        for stride, real, dense, fmap in zip(
            plain.out_strides, dilated.out_strides, maps, ordinary, strict=True
        ):
            assert dense.shape[-2:] == (math.ceil(65 / real), math.ceil(98 / real))
            assert is_the_ordinary_map(dense, fmap, stride // real), (output_stride, stride)


@pytest.mark.parametrize("name", DILATABLE)
def test_original_padding_is_dilated_too_or_needs_no_repair(name: str) -> None:
    """``repair_padding=False``: the authors' maps, dilated or not; without unpadded layers the same net."""
    x = torch.rand(1, 3, 96, 128)  # some originals take only sizes that 32 divides
    original = blank(name, repair_padding=False).eval()
    original.load_state_dict(built(name).state_dict())
    assert original.out_strides == built(name).out_strides
    with gate_values_from(original) as held:
        ordinary = original(x)
    with torch.no_grad():
        repaired = built(name)(x)
    if all(map(torch.equal, repaired, ordinary)):
        pytest.skip("nothing was repaired: the ordinary net's dilation is tested")
    for output_stride in (8, 16):
        dilated = blank(name, repair_padding=False, output_stride=output_stride).eval()
        dilated.load_state_dict(original.state_dict())
        held.give(dilated)
        with torch.no_grad():
            maps = dilated(x)
        for stride, dense, fmap in zip(original.out_strides, maps, ordinary, strict=True):
            step = max(1, stride // output_stride)
            assert is_the_ordinary_map(dense, fmap, step), (output_stride, stride)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DILATABLE])
def test_a_net_that_cannot_be_dilated_refuses(name: str) -> None:
    with pytest.raises(InputError, match="cannot be dilated"):
        blank(name, output_stride=16)


#: One of the two for a net of each library and kind, in turn; ``make sweep`` takes both of every net.
OF_EACH = {(spec.source, spec.kind): spec.name for spec in map(mmbackbones.get_spec, LIGHT)}
CHANNELS = list(itertools.product(NAMES, (1, 4)) if SWEEP else zip(OF_EACH.values(), itertools.cycle((1, 4))))


@pytest.mark.parametrize(("name", "channels"), CHANNELS)
def test_other_numbers_of_input_channels(name: str, channels: int) -> None:
    """All maps and their sizes stay; one weight alone has another shape, that of the first layer."""
    net = without_values(lambda: mmbackbones.build(name, in_channels=channels)).eval()
    device = next(net.parameters()).device
    with torch.no_grad(), ShapesOnly():
        maps = net(torch.rand(1, channels, 64, 64, device=device))
    plain = without_values(lambda: mmbackbones.build(name))
    assert [fmap.shape[1:] for fmap in maps] == [
        (width, 64 // stride, 64 // stride)
        for width, stride in zip(plain.out_channels, plain.out_strides, strict=True)
    ]
    shapes = {key: value.shape for key, value in plain.state_dict().items()}
    (first,) = (key for key, value in net.state_dict().items() if value.shape != shapes[key])
    assert shapes[first] == (len(net.get_parameter(first)), 3, *net.get_parameter(first).shape[2:])


def test_output_stride_keeps_weights_and_names() -> None:
    plain, dilated = (mmbackbones.build("resnet18", output_stride=s) for s in (None, 8))
    assert plain.state_dict().keys() == dilated.state_dict().keys()
    assert dilated.out_strides == (4, 8, 8, 8)


def test_out_indices_always_mean_c2_to_c5() -> None:
    assert mmbackbones.build("vgg16", out_indices=(0, 3)).out_strides == (4, 32)
    assert mmbackbones.build("swin_tiny", out_indices=(1, 2)).out_strides == (8, 16)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"out_strides": (4,), "out_indices": (0,)}, ["twice", "out_indices=(0, 1, 2, 3)"]),
        ({"out_strides": (64,)}, ["no map at stride 64", "(2, 4, 8, 16, 32)"]),
        ({"out_strides": (8, 4)}, ["(8, 4)", "ascend"]),
        ({"out_strides": ()}, ["ascend"]),
        ({"out_indices": (0, 4)}, ["(0, 4)", "0, 1, 2, 3"]),
        ({"frozen_stages": 5}, ["frozen_stages=5", "-1", "4"]),
        ({"frozen_stages": True}, ["frozen_stages=True"]),
        ({"output_stride": 12}, ["12", "8, 16, 32"]),
        ({"in_channels": 0}, ["in_channels=0", "at least 1"]),
        ({"norm_cfg": {"type": "XN"}}, ["'XN'", "BN, SyncBN, GN, FrozenBN"]),
        ({"norm_cfg": {"type": "GN", "num_groups": 48}}, ["num_groups=48", "divisor"]),
        ({"norm_cfg": {"type": "BN", "groups": 8}}, ["groups", "momentum"]),
        ({"depth": 50}, ["depth", "frozen_stages"]),
        ({"frozen_stage": 1}, ["frozen_stage", "Did you mean 'frozen_stages'"]),
        ({"net_kwargs": {"no_such_thing": 1}}, ["no_such_thing"]),
        ({"pretrained": "no_such_tag"}, ["no_such_tag", "a1_in1k", "IMAGENET1K_V1"]),
    ],
)
def test_bad_arguments_are_named(arguments: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        mmbackbones.build("resnet18", **arguments)
    for word in words:
        assert word in str(caught.value)


def test_an_unknown_argument_is_a_type_error_too() -> None:
    with pytest.raises(TypeError, match="depth"):
        mmbackbones.build("resnet18", depth=18)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet5", ["resnet5", "resnet50"]),
        ("timm:resnet5", ["resnet50"]),
        ("torchvision:resnet5", ["resnet50"]),
        ("caffe:resnet50", ["caffe:resnet50"]),
        ("torchvision:vit_b_16", ["VisionTransformer", "timm"]),
    ],
)
def test_unknown_names_get_the_nearest(name: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        mmbackbones.build(name)
    for word in words:
        assert word in str(caught.value)


def test_a_stride_that_the_net_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(InputError, match=r"no map at stride 2. It has \(4, 8, 16, 32\)"):
        mmbackbones.build("swin_tiny", out_strides=(2, 4))


def test_no_norm_to_replace_is_an_error() -> None:
    with pytest.raises(InputError, match="no batch norm"):
        mmbackbones.build("convnext_tiny", norm_cfg={"type": "GN"})


def test_the_callers_dicts_are_not_changed() -> None:
    norm_cfg = {"type": "GN", "num_groups": 8}
    net_kwargs = {"drop_path_rate": 0.1}
    init_cfg = {"type": "Pretrained", "checkpoint": "nowhere.pth"}
    before = copy.deepcopy((norm_cfg, net_kwargs, init_cfg))
    mmbackbones.build("resnet18", norm_cfg=norm_cfg, net_kwargs=net_kwargs, init_cfg=init_cfg)
    assert (norm_cfg, net_kwargs, init_cfg) == before


def test_an_image_with_other_channels_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(1, 4, 64, 64\), expects \(N, 3, H, W\)"):
        mmbackbones.build("resnet18")(torch.randn(1, 4, 64, 64))


@pytest.mark.parametrize("name", ["timm:resnet18d", "torchvision:alexnet"])
def test_other_numbers_of_input_channels_of_open_names(name: str) -> None:
    net = mmbackbones.build(name, in_channels=4, out_strides=(32,))
    assert net(torch.randn(2, 4, 64, 64))[0].shape[-1] == 2


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny", "timm:vgg11"])
def test_copies_are_whole_and_apart(name: str) -> None:
    """EMA hooks deep-copy, launchers pickle: the copy must run on its own parameters."""
    net = mmbackbones.build(name, with_cp=True).eval()
    x = torch.randn(1, 3, 64, 64)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):  # noqa: S301
        with torch.no_grad():
            before = net(x)[-1].clone()
            for param in other.parameters():
                param.zero_()
            torch.testing.assert_close(net(x)[-1], before)
            assert not torch.equal(other(x)[-1], before)


def test_open_names_of_both_sources_work() -> None:
    for name in ("timm:regnetx_002", "torchvision:mnasnet0_5", "timm:resnet18.a1_in1k"):
        spec = mmbackbones.get_spec(name)
        net = mmbackbones.build(name)
        assert spec.channels[32] == net.out_channels[-1]
        assert net.out_strides == (4, 8, 16, 32)


@pytest.mark.parametrize("patch", ["timm:vit_tiny_patch16_224", "timm:vit_small_patch14_dinov2"])
def test_a_cell_of_a_plain_vits_map_lies_at_its_place(patch: str) -> None:
    """The patches themselves, without the attention between them: where does a cell come from?"""
    net = mmbackbones.build(patch, out_strides=(16,)).eval()
    for block in net.blocks:
        block.forward = lambda x, **_: x
    image = torch.rand(1, 3, 224, 224).requires_grad_()
    (fmap,) = net(image)
    (grad,) = torch.autograd.grad(fmap[0, :, 5, 9].sum(), image)
    field = grad[0].abs().sum(0)
    for axis, cell in ((0, 5), (1, 9)):
        profile = field.sum(1 - axis)
        centre = (profile * (torch.arange(224) + 0.5)).sum() / profile.sum()
        assert abs(centre - (cell + 0.5) * 16) <= 2


def test_a_fixed_size_net_is_built_for_its_size() -> None:
    net = mmbackbones.build(
        "timm:beit_base_patch16_224", net_kwargs={"img_size": (96, 128), "depth": 4}, out_strides=(4, 32)
    )
    maps = net.eval()(torch.randn(1, 3, 96, 128))
    assert [tuple(fmap.shape[-2:]) for fmap in maps] == [(24, 32), (3, 4)]


@pytest.mark.parametrize("name", ["torchvision:alexnet", "inception_v3"])
def test_the_original_padding_can_be_kept(name: str) -> None:
    """Same weights, both geometries: the repaired net has exact maps, the original its own."""
    nets = [
        without_values(lambda f=flag: mmbackbones.build(name, repair_padding=f)) for flag in (True, False)
    ]
    repaired, original = (on_meta(net).eval() for net in nets)
    original.load_state_dict(repaired.state_dict())
    x = torch.empty(1, 3, 299, 299, device="meta")
    with torch.no_grad(), ShapesOnly():
        ours, theirs = repaired(x), original(x)
    assert [m.shape[-1] for m in ours] == [75, 38, 19, 10]
    assert all(
        a.shape[1] == b.shape[1] and a.shape[-1] > b.shape[-1] for a, b in zip(ours, theirs, strict=True)
    )
    assert original.out_strides == repaired.out_strides
