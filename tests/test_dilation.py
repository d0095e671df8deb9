"""Output stride: which networks take it, of timm's too, and nets whose padding is their authors'."""

import copy

import pytest
import torch
from cases import close, with_random_norms
from torch import nn
from torch.nn import functional as F  # noqa: N812

import mmbackbones
from mmbackbones.errors import InputError
from mmbackbones.sources.feature_net import ChainNet
from mmbackbones.surgery.dilation import dilate
from mmbackbones.tracing.trace import trace


@pytest.mark.parametrize(
    ("name", "dilatable"),
    [
        ("timm:resnet10t", True),
        ("timm:ghostnet_100", True),  # SE
        ("timm:convnextv2_atto", True),  # GRN
        ("timm:poolformer_s12", True),  # one group over the whole map
        ("timm:resnetv2_50x1_bit", True),  # weight standardisation
        ("timm:nf_resnet26", True),  # another
        ("timm:dm_nfnet_f0", False),  # another, with TensorFlow's padding
        ("timm:gcresnext26ts", False),  # gates by attention over the map
        ("timm:shvit_s1", False),  # attention in a class without a telling name
        ("timm:iformer_s", False),  # pools and resizes
        ("timm:efficientvit_b0", False),  # linear attention
        ("timm:efficientvim_m1", False),  # state space
        ("timm:ghostnetv2_100", False),  # gates on a pooled map
    ],
)
def test_open_names_are_dilatable_where_the_values_stay(name: str, dilatable: bool) -> None:
    assert mmbackbones.get_spec(name).dilatable == dilatable


@pytest.mark.parametrize("net_kwargs", [{}, {"drop_path_rate": 0.1}, {"block_args": {"attn_layer": "gc"}}])
def test_a_net_that_net_kwargs_change_is_judged_as_it_is(net_kwargs: dict) -> None:
    """A gate by attention reads more cells of a dilated map, so that its values would be others."""

    arguments = dict(output_stride=16, in_channels=4, net_kwargs=net_kwargs)
    if "block_args" in net_kwargs:
        with pytest.raises(InputError, match="attn_layer.*Leave one of the two out"):
            mmbackbones.build("timm:resnet10t", **arguments)
    else:
        assert mmbackbones.build("timm:resnet10t", **arguments).out_strides == (4, 8, 16, 16)


class OwnForward(nn.Conv2d):
    """Its forward is its own, so that nobody but itself can pad for it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight / 2, self.bias, self.stride, self.padding, self.dilation)


@pytest.mark.parametrize(
    ("late", "dilated"),
    [
        (OwnForward(8, 8, 3, padding=1), True),
        (OwnForward(8, 8, 3, padding="same"), False),
        (OwnForward(8, 8, 4, padding=2), False),
        (nn.LPPool2d(2, 3, stride=1), False),
    ],
    ids=["centred", "by word", "even", "pool"],
)
def test_a_layer_of_stride_one_is_dilated_or_refused(late: nn.Module, dilated: bool) -> None:
    """One that is left as it is would read neighbours of the dilated map, which are others."""
    steps = [nn.Conv2d(3, 8, 3, stride=2, padding=1), *(nn.Conv2d(8, 8, 3, 2, 1) for _ in range(4)), late]
    net = nn.Sequential(*steps).eval()
    found = trace(ChainNet(nn.Sequential(*steps[:-1]), [str(index) for index in range(5)]), 3)
    found.reductions["5"] = 32
    other = copy.deepcopy(net)
    if not dilated:
        with pytest.raises(InputError, match=f"'5' \\({type(late).__name__}\\).*cannot be dilated"):
            dilate(other, found, 16)
        return
    dilate(other, found, 16)
    x = torch.rand(1, 3, 128, 192)
    with torch.no_grad():
        assert close(other(x)[..., ::2, ::2], net(x), 1e-5)


@pytest.mark.parametrize("name", ["timm:resnet10t", "timm:tf_mobilenetv3_small_minimal_100"])
def test_a_net_without_repairs_is_dilated_as_it_is(name: str) -> None:
    """``repair_padding=False`` changes nothing then: sizes are promised, and the identity holds."""
    plain = mmbackbones.build(name, repair_padding=False)
    with_random_norms(plain)
    dilated = mmbackbones.build(name, repair_padding=False, output_stride=8).eval()
    dilated.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 97, 130)
    with torch.no_grad():
        ordinary, maps = plain(x), dilated(x)
    assert [tuple(m.shape[2:]) for m in maps] == [(25, 33), (13, 17), (13, 17), (13, 17)]
    for stride, fmap, reference in zip(plain.out_strides, maps, ordinary, strict=True):
        step = max(1, stride // 8)
        assert close(fmap[..., ::step, ::step], reference, 1e-4)
