"""SE, CBAM and ECA: figures, formulas, and their place in timm's ResNets."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmbackbones.errors import InputError
from mmbackbones.native.attention import (
    CBAM,
    EfficientChannelAttention,
    SqueezeExcite,
    embed_attention,
    make_attention,
)


def parameters(net: nn.Module) -> int:
    return sum(param.numel() for param in net.parameters())


@pytest.mark.parametrize(
    ("gate", "params"),
    [
        (SqueezeExcite(64), 2 * 64 * 4 + 4 + 64),
        (CBAM(64), 2 * 64 * 4 + 4 + 64 + 98 + 2),
        (EfficientChannelAttention(64), 3),
        (EfficientChannelAttention(512), 5),
    ],
)
def test_attention_weights_a_map(gate: nn.Module, params: int) -> None:
    assert parameters(gate) == params
    x = torch.randn(2, 512 if params == 5 else 64, 5, 7)
    y = gate.eval()(x)
    assert y.shape == x.shape
    ratio = y / x
    assert bool(((ratio > 0) & (ratio < 1)).all())
    by_cell = ratio.std((2, 3)).max()
    assert (by_cell > 1e-4) == isinstance(gate, CBAM)
    assert ratio.std(1).max() > 1e-4


def test_se_is_timms() -> None:
    from timm.layers import SEModule

    ours, theirs = SqueezeExcite(64), SEModule(64, rd_channels=4)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 64, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def test_eca_is_timms() -> None:
    from timm.layers import EcaModule

    for channels in (64, 256, 2048):
        ours, theirs = EfficientChannelAttention(channels), EcaModule(channels)
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(2, channels, 5, 7)
        torch.testing.assert_close(ours(x), theirs(x))


def test_cbam_is_the_papers_formula() -> None:
    cbam = CBAM(32).eval()
    weights = cbam.state_dict()
    x = torch.randn(2, 32, 9, 6)

    def shared(pooled: torch.Tensor) -> torch.Tensor:
        hidden = F.linear(
            pooled, weights["channel.mlp.fc1.weight"].flatten(1), weights["channel.mlp.fc1.bias"]
        )
        return F.linear(
            hidden.relu(), weights["channel.mlp.fc2.weight"].flatten(1), weights["channel.mlp.fc2.bias"]
        )

    by_channel = torch.sigmoid(shared(x.flatten(2).mean(2)) + shared(x.flatten(2).amax(2)))
    y = x * by_channel[:, :, None, None]
    seen = torch.stack([y.amax(1), y.mean(1)], 1)  # in this order
    by_cell = torch.sigmoid(F.conv2d(seen, weights["spatial.conv.weight"], padding=3) / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(cbam(x), y * by_cell)
    assert cbam.spatial.bn.momentum == 0.01


@pytest.mark.parametrize("kind", ["se", "cbam", "eca"])
def test_attention_goes_into_every_residual_block(kind: str) -> None:
    import timm

    for name, blocks in (("resnet18", 8), ("resnext50_32x4d", 16)):
        with torch.device("meta"):
            net = timm.create_model(name, num_classes=0)
            plain = parameters(net)
            embed_attention(net, kind)
            gates = [module for module in net.modules() if isinstance(module, type(make_attention(kind, 64)))]
            assert len(gates) == blocks
            assert parameters(net) == plain + sum(map(parameters, gates))
            assert net(torch.empty(1, 3, 64, 64)).shape[-1] == net.num_features
            with pytest.raises(InputError, match="none yet"):
                embed_attention(net, kind)


def test_attention_that_is_not_known_is_named() -> None:
    with pytest.raises(InputError, match="'sse'.*'se', 'cbam', 'eca'"):
        make_attention("sse", 64)
    with pytest.raises(InputError, match="resnext"):
        embed_attention(nn.Sequential(nn.Conv2d(3, 3, 3)), "se")
