"""Contract point 6, swept over the whole catalog: what is frozen stays."""

import copy

import pytest
import torch
from cases import LIGHT, PLAIN, SWEEP, blank, built
from steps import loss
from torch import Tensor, nn

import mmbackbones
from mmbackbones.backbone import Backbone
from mmbackbones.tracing.stages import stage_of_params


def step(net: nn.Module, size: int = 64) -> None:
    """One optimiser step in which all maps take part."""
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    loss(net, torch.randn(2, 3, size, size)).backward()
    optimiser.step()


@pytest.mark.parametrize("name", LIGHT)
def test_frozen_stages_stay_and_the_rest_trains(name: str) -> None:
    """Parameters, statistics and maps of the frozen part; blocks in a plain ViT.

    ``make test`` takes two numbers of stages for each family, in turn; ``make sweep`` all five.
    """
    x = torch.rand(1, 3, 64, 64)
    turn = LIGHT.index(name)
    for frozen_stages in range(5) if SWEEP else {turn % 5, (turn + 2) % 5}:
        net = blank(name, frozen_stages=frozen_stages)
        assert net.train() is net
        assert net.eval() is net
        net.load_state_dict(built(name).state_dict())
        net.train()
        frozen = {n for n, p in net.named_parameters() if not p.requires_grad}
        if name in PLAIN:
            parts = {int(key.split(".")[1]) for key in frozen if key.startswith("blocks.")}
            assert parts == set(range(len(net.blocks) * frozen_stages // 4))
        before, maps = copy.deepcopy(net.state_dict()), read_maps(net, x)
        if len(frozen) < len(list(net.parameters())):
            step(net)
            step(net)
        else:
            assert max(net.param_stages.values()) <= frozen_stages  # a stage may be one pool
            net(torch.randn(2, 3, 64, 64))
        layers = {key.rpartition(".")[0] for key in frozen}
        for key, value in net.state_dict().items():
            still = key in frozen or key.rpartition(".")[0] in layers
            if still:
                assert torch.equal(value, before[key]), f"{key} is frozen and changed"
            elif value.is_floating_point() or "tracked" in key:
                assert not torch.equal(value, before[key]), f"{key} is not frozen and stayed"
        for stride, fmap in read_maps(net, x).items():
            if stride < 4 << frozen_stages:
                assert torch.equal(fmap, maps[stride]), (frozen_stages, stride)
            elif stride == 32 and len(frozen) < len(list(net.parameters())):
                assert not torch.equal(fmap, maps[stride]), (frozen_stages, stride)


def read_maps(net: Backbone, x: Tensor) -> dict[int, Tensor]:
    """Maps by stride, as the frozen parts give them: of a plain ViT those that enter its learned pyramid."""
    levels = dict(net.named_children()).get("pyramid", {})
    found: dict[int, Tensor] = {}
    hooks = [
        level.register_forward_pre_hook(lambda _, inputs, s=int(stride): found.update({s: inputs[0]}))
        for stride, level in dict(levels).items()
    ]
    training = net.training
    with torch.no_grad():
        maps = dict(zip(net.out_strides, net.eval()(x), strict=True))
    net.train(training)
    for hook in hooks:
        hook.remove()
    return found or maps


def _prefixes(name: str, **kwargs: object) -> set[str]:
    net = mmbackbones.build(name, **kwargs)
    return {n.rpartition(".")[0] for n, p in net.named_parameters() if not p.requires_grad}


def test_frozen_stages_mean_what_mmdets_resnet_means() -> None:
    assert _prefixes("resnet18", frozen_stages=-1) == set()
    assert _prefixes("resnet18", frozen_stages=0) == {"conv1", "bn1"}
    for k in (1, 2, 3, 4):
        tops = {p.split(".")[0] for p in _prefixes("resnet18", frozen_stages=k)}
        assert tops == {"conv1", "bn1", *(f"layer{i}" for i in range(1, k + 1))}


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("mobilenetv3_small_100", {"conv_stem", "bn1"}),
        ("densenet121", {"features.conv0", "features.norm0"}),
        ("vgg16_bn", {"features.0", "features.1"}),
        ("swin_tiny", {"patch_embed.proj", "patch_embed.norm"}),
        ("convnext_tiny", {"stem.0", "stem.1"}),
        ("shufflenet_v2_x1_0", {"conv1.0", "conv1.1"}),
        ("regnety_040", {"stem.conv", "stem.bn"}),
        ("timm:vit_tiny_patch16_224", {"patch_embed.proj", ""}),  # "": cls_token and pos_embed
        ("timm:vit_small_patch14_reg4_dinov2", {"patch_embed.proj", ""}),
    ],
)
def test_the_stem_is_the_first_layer_with_its_norm(name: str, stem: set[str]) -> None:
    assert _prefixes(name, frozen_stages=0) == stem


def test_stages_of_a_plain_vit_are_its_blocks_in_four_parts() -> None:
    for k in (1, 2, 3, 4):
        frozen = _prefixes("timm:vit_tiny_patch16_224", frozen_stages=k)
        blocks = {int(path.split(".")[1]) for path in frozen if path.startswith("blocks.")}
        assert blocks == set(range(3 * k))
        assert not any(path.startswith("pyramid") for path in frozen), "fresh layers must train"


def test_freezing_does_not_depend_on_the_asked_strides() -> None:
    whole = _prefixes("efficientnet_b0", frozen_stages=2)
    assert _prefixes("efficientnet_b0", frozen_stages=2, out_strides=(32,)) == whole
    assert _prefixes("efficientnet_b0", frozen_stages=2, out_strides=(8, 16)) == whole


def test_frozen_drop_out_and_stochastic_depth_are_off() -> None:
    net = mmbackbones.build(
        "swin_tiny", frozen_stages=2, net_kwargs={"drop_path_rate": 0.5, "proj_drop_rate": 0.5}
    )
    net.train()
    drops = [(path, m) for path, m in net.named_modules() if "Drop" in type(m).__name__]
    active = {path.split(".")[1] for path, m in drops if m.training and path.startswith("layers")}
    assert active == {"2", "3"}
    x = torch.randn(2, 3, 64, 64)
    first, again = net(x), net(x)
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[2], again[2])


def test_frozen_stages_keep_no_graph() -> None:
    net = mmbackbones.build("resnet18", frozen_stages=2).train()
    c2, c3, c4, _ = net(torch.randn(2, 3, 64, 64))
    assert (c2.requires_grad, c3.requires_grad, c4.requires_grad) == (False, False, True)


def test_norm_eval_holds_all_statistics() -> None:
    net = mmbackbones.build("resnet18", norm_eval=True).train()
    before = {k: v.clone() for k, v in net.state_dict().items() if "running" in k or "tracked" in k}
    weight = net.bn1.weight.clone()
    step(net)
    assert before.keys()
    assert all(torch.equal(net.state_dict()[k], v) for k, v in before.items())
    assert not torch.equal(net.bn1.weight, weight)


def test_every_parameter_has_a_stage() -> None:
    from mmbackbones.sources import open_net
    from mmbackbones.tracing.trace import trace

    for name in ("resnet18", "swin_tiny_patch4_window7_224"):
        feature_net = open_net("timm", name, 3, {})
        stages = stage_of_params(feature_net.net, trace(feature_net, 3))
        assert set(stages.values()) == {0, 1, 2, 3, 4}
