"""Attention in residual blocks, and what else the upstreams' constructors can do."""

import functools

import pytest
import timm
import torch
import torchvision
from torch import nn

import mmbackbones
from mmbackbones import InputError
from mmbackbones.native.attention import ATTENTIONS


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


def test_a_file_with_auxiliary_classifiers_loads_without_them(tmp_path) -> None:
    original = torchvision.models.googlenet(aux_logits=True, init_weights=False)
    torch.save(original.state_dict(), tmp_path / "whole.pth")
    report = mmbackbones.build("googlenet", pretrained=str(tmp_path / "whole.pth")).load_report
    assert (report.missing, report.unexpected) == ((), ())
    assert any(name.startswith("aux1.") for name in report.ignored)


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
