"""Attention in residual blocks, and auxiliary classifiers as extra outputs."""

import functools

import pytest
import timm
import torch
import torchvision
from torch import nn

import mmbackbones
from mmbackbones import InputError
from mmbackbones.catalog.rows import ROWS
from mmbackbones.feature_nets.auxiliary import AUXILIARY
from mmbackbones.native.attention import ATTENTIONS

WITH_AUXILIARY = [row.name for row in ROWS if (row.source, row.upstream) in AUXILIARY]


@pytest.mark.parametrize("kind", list(ATTENTIONS))
@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "wide_resnet50_2"])
def test_attention_stands_in_every_residual_block_and_trains(name: str, kind: str) -> None:
    net = mmbackbones.build(name, attention=kind)
    blocks = [m for m in net.modules() if type(m).__name__ in ("BasicBlock", "Bottleneck")]
    assert len(blocks) == {"resnet18": 8}.get(name, 16)
    assert all(isinstance(block.se, ATTENTIONS[kind]) for block in blocks)
    with torch.no_grad():
        for param in net.parameters():  # timm's last norm of a block starts at zero
            if param.ndim == 1:
                param.uniform_(0.5, 1.5)
    maps = net(torch.randn(2, 3, 64, 64))
    sum((fmap**2).mean() for fmap in maps).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []
    assert all(
        param.grad.abs().sum() > 0 for n, param in net.named_parameters() if ".se." in n and "weight" in n
    )


def test_attention_keeps_to_the_contract() -> None:
    net = mmbackbones.build("resnet18", attention="eca", frozen_stages=2, output_stride=16, with_cp=True)
    frozen = {n for n, p in net.named_parameters() if not p.requires_grad}
    assert "layer2.1.se.conv.weight" in frozen
    assert "layer3.0.se.conv.weight" not in frozen
    assert [m.shape[-1] for m in net(torch.randn(2, 3, 64, 64))] == [16, 8, 4, 4]


def test_weights_of_the_net_without_attention_load_and_the_report_says_what_is_fresh(tmp_path) -> None:
    plain = timm.create_model("resnet18")
    torch.save(plain.state_dict(), tmp_path / "resnet18.pth")
    net = mmbackbones.build("resnet18", attention="se", pretrained=str(tmp_path / "resnet18.pth"))
    assert torch.equal(net.layer4[1].conv2.weight, plain.layer4[1].conv2.weight)
    report = net.load_report
    assert report.missing == report.unexpected == ()
    assert "layer1.0.se.mlp.fc1.weight" in report.fresh
    assert "fresh: layer1.0.se" in str(report)


def test_weights_of_resnet50_load_into_cbam_resnet50(tmp_path) -> None:
    plain = timm.create_model("resnet50")
    torch.save(plain.state_dict(), tmp_path / "resnet50.pth")
    net = mmbackbones.build("cbam_resnet50", pretrained=str(tmp_path / "resnet50.pth"))
    assert torch.equal(net.layer4[2].conv3.weight, plain.layer4[2].conv3.weight)
    assert net.load_report.missing == ()
    assert all(".se." in name for name in net.load_report.fresh)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("resnet18", "sse", "attention='sse' is not known. Allowed: 'se', 'cbam', 'eca'"),
        ("seresnet50", "se", r"attention='se' is for timm's ResNets .* have none yet"),
        ("vgg11", "cbam", "attention='cbam' is for timm's ResNets"),
    ],
)
def test_attention_that_cannot_be_is_refused(name: str, kind: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        mmbackbones.build(name, attention=kind)


def test_both_papers_are_there() -> None:
    assert {"googlenet", "googlenet_original", "inception_v3"} <= set(WITH_AUXILIARY)


@pytest.mark.parametrize("name", [*WITH_AUXILIARY, "torchvision:inception_v3"])
def test_auxiliary_logits_follow_the_maps_and_train(name: str) -> None:
    plain = mmbackbones.build(name)
    net = mmbackbones.build(name, aux_classes=7, frozen_stages=1)
    rows = AUXILIARY[net.spec.source, net.spec.upstream]
    x = torch.randn(2, 3, 264, 264)
    outputs = net(x)
    maps, logits = outputs[: -len(rows)], outputs[-len(rows) :]
    assert [m.shape[1] for m in maps] == list(net.out_channels) == list(plain.out_channels)
    assert [tuple(out.shape) for out in logits] == [(2, 7)] * len(rows)
    sum(out.square().mean() for out in logits).backward(retain_graph=True)
    for row in rows:
        assert all(p.grad is not None for p in net.get_submodule(row.name).parameters())
    net.zero_grad()
    sum(out.square().mean() for out in outputs).backward()
    assert [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None] == []
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if k in plain.state_dict()})
    with torch.no_grad():
        for ours, without in zip(net.eval()(x), plain.eval()(x), strict=False):
            assert torch.equal(ours, without)


def upstream_logits(name: str, x: torch.Tensor) -> tuple[nn.Module, list[torch.Tensor]]:
    """The whole network of the upstream, and the logits of its auxiliary classifiers in eval mode."""
    source, _, own = name.partition(":")
    if source == "timm":
        net = timm.create_model(own, aux_logits=True)
        taps = {"AuxLogits": "Mixed_6e"}
    else:
        net = torchvision.models.get_model(own, aux_logits=True, init_weights=True)
        taps = (
            {"aux1": "inception4a", "aux2": "inception4d"}
            if own == "googlenet"
            else {"AuxLogits": "Mixed_6e"}
        )
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # statistics of these images: fresh ones let the values explode
    seen: dict[str, torch.Tensor] = {}
    for step in taps.values():
        net.get_submodule(step).register_forward_hook(lambda _, __, out, step=step: seen.update({step: out}))
    with torch.no_grad():
        net.train()(torch.cat([x, x.flip(3)]))
        net.eval()(x)
        return net, [net.get_submodule(aux)(seen[step]) for aux, step in taps.items()]


@pytest.mark.parametrize("name", ["torchvision:googlenet", "torchvision:inception_v3", "timm:inception_v3"])
def test_auxiliary_logits_are_the_upstreams(name: str, tmp_path) -> None:
    x = torch.randn(1, 3, 299, 299)
    original, expected = upstream_logits(name, x)
    torch.save(original.state_dict(), tmp_path / "whole.pth")
    net = mmbackbones.build(
        name, aux_classes=1000, repair_padding=False, pretrained=str(tmp_path / "whole.pth")
    ).eval()
    assert net.load_report.fresh == ()
    with torch.no_grad():
        found = net(x)[-len(expected) :]
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs.abs().max() > 0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    other = mmbackbones.build(name, aux_classes=5, pretrained=str(tmp_path / "whole.pth"))
    assert all(
        name.endswith(("fc.weight", "fc.bias", "fc2.weight", "fc2.bias")) for name in other.load_report.fresh
    )
    assert len(other.load_report.fresh) == 2 * len(expected)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("resnet18", {"aux_classes": 5}, "'resnet18' has no auxiliary classifiers.*googlenet"),
        ("googlenet", {"aux_classes": 0}, "aux_classes=0 must be a whole number"),
        ("googlenet", {"aux_classes": True}, "aux_classes=True must be a whole number"),
        ("googlenet", {"aux_classes": 5, "out_strides": (4, 8)}, r"behind the last of out_strides=\(4, 8\)"),
    ],
)
def test_auxiliary_classifiers_that_cannot_be_are_refused(name: str, arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        mmbackbones.build(name, **arguments)


def test_an_image_too_small_for_the_auxiliary_classifier_is_refused() -> None:
    net = mmbackbones.build("inception_v3", aux_classes=5)
    with pytest.raises(InputError, match="images of at least 257 pixels"):
        net(torch.randn(2, 3, 128, 256))


def test_hrnets_own_maps_can_be_asked_for() -> None:
    """timm widens HRNet's four maps by a part of its classifier; without a head they are the paper's."""
    net = mmbackbones.build("timm:hrnet_w18_small", net_kwargs={"head": ""})
    assert net.out_channels == (16, 32, 64, 128)
    maps = net(torch.randn(2, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 16, 24), (32, 8, 12), (64, 4, 6), (128, 2, 3)]
    sum(m.square().mean() for m in maps).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def test_darknets_slope_is_that_of_its_weights_and_can_be_the_papers() -> None:
    def slopes(**arguments) -> set[float]:
        net = mmbackbones.build("darknet53", **arguments)
        return {module.negative_slope for module in net.modules() if isinstance(module, nn.LeakyReLU)}

    assert slopes() == {0.01}
    act = functools.partial(nn.LeakyReLU, negative_slope=0.1, inplace=True)
    assert slopes(net_kwargs={"act_layer": act}) == {0.1}
