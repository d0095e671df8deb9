"""Every neck: registration, gradients, norms, precision, bad input."""

from __future__ import annotations

import copy

import pytest
import torch
from neck_cases import EACH, NORMS, SMALL, build, fitting, maps
from torch import nn

from mmbackbones.errors import InputError
from mmbackbones.necks import PAFPN, BiFPN
from mmbackbones.registry import MODELS


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
