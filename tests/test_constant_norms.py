"""Constant batch norms computed with their convolutions: the same training in every combination."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from own_cases import registered  # noqa: F401
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import mmbackbones
from mmbackbones.backbone import Backbone
from mmbackbones.engine.layout import fold_norms, join_norms
from mmbackbones.engine.runner import Runner
from mmbackbones.surgery import constant_norms
from mmbackbones.surgery.constant_norms import join_constant_norms
from mmbackbones.surgery.norms import FrozenBatchNorm2d

pytestmark = pytest.mark.usefixtures("registered")

#: Nets with what else they do, and how many pairs they have.
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "all": ("timm:resnet10t", dict(norm_eval=True), 14),
    "frozen and checkpointed": ("timm:resnet10t", dict(norm_eval=True, frozen_stages=2, with_cp=True), 14),
    "some train": ("timm:resnet10t", dict(frozen_stages=1), 14),
    "FrozenBN, dilated": ("timm:resnet10t", dict(norm_cfg=dict(type="FrozenBN"), output_stride=16), 14),
    "activation inside, SE": ("mobilenetv3_small_050", dict(norm_eval=True, memory_format="auto"), 34),
    "a chain, checkpointed": ("timm:vgg11_bn", dict(norm_eval=True, with_cp=True), 2),
    "a chain": ("timm:vgg11_bn", dict(norm_eval=True), 8),
    "a user's own": ("dictnet", dict(norm_eval=True), 25),
}


def made(name: str, arguments: dict[str, Any]) -> Backbone:
    torch.manual_seed(0)
    net = mmbackbones.build(name, **arguments)
    for norm in net.modules():
        if isinstance(norm, (_BatchNorm, FrozenBatchNorm2d)):
            nn.init.uniform_(norm.running_mean, -0.3, 0.3)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
    return net


def step(net: nn.Module, x: Tensor) -> tuple[list[Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Maps, gradients, and the state dict after a step."""
    net.zero_grad()
    maps = [*net.train()(x)]
    sum(fmap.square().mean() for fmap in maps).backward()
    return maps, {k: p.grad for k, p in net.named_parameters() if p.grad is not None}, net.state_dict()


def assert_same(one: Any, other: Any) -> None:
    for these, those in zip(one, other, strict=True):
        pairs = zip(these, those, strict=True) if isinstance(these, list) else None
        if pairs is None:
            assert [*these] == [*those]
            pairs = ((these[key], those[key]) for key in these)
        for value, plain in pairs:
            scale = float(plain.detach().abs().max())
            torch.testing.assert_close(value, plain, rtol=1e-3, atol=1e-5 + 1e-3 * scale)


@pytest.mark.parametrize(("name", "arguments", "count"), CASES.values(), ids=[*CASES])
def test_a_step_is_the_same(
    name: str, arguments: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = made(name, arguments)
    joined, always = copy.deepcopy(net), copy.deepcopy(net)
    assert join_constant_norms(joined, 3) == join_constant_norms(always, 3) == count
    assert joined.training
    copied = copy.deepcopy(always)  # as for a moving average of the weights
    x = torch.randn(2, 3, 64, 64)
    plain = step(net, x)
    assert_same(step(joined, x), plain)
    monkeypatch.setattr(constant_norms, "pays", lambda *_: True)
    for value in always.state_dict().values():
        value.zero_()
    assert_same(step(copied, x), plain)


def test_thawing_normalises_by_the_batch_again() -> None:
    net = made("timm:resnet10t", dict(frozen_stages=2))
    joined = copy.deepcopy(net)
    join_norms(nn.ModuleDict({"backbone": joined}))
    x = torch.randn(2, 3, 64, 64)
    for frozen in (1, -1, 3):
        assert_same(step(joined.freeze(frozen), x), step(net.freeze(frozen), x))
    assert int(net.bn1.num_batches_tracked) == int(joined.bn1.num_batches_tracked) == 1


def test_less_is_kept_for_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """No map between a convolution and its norm."""
    monkeypatch.setattr(constant_norms, "pays", lambda *_: True)
    kept = []
    for joined in (False, True):
        net, sizes = made("timm:resnet10t", dict(norm_eval=True)), []
        if joined:
            join_constant_norms(net, 3)

        def pack(value: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(value.numel() * (value.ndim == 4 and len(value) == 2))
            return value

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            net(torch.randn(2, 3, 64, 64))
        kept.append(sum(sizes))
    assert kept[1] < 0.7 * kept[0]


def test_what_does_not_profit_stays_as_it_is() -> None:
    for name, arguments in (("resnet18", {}), ("timm:convnext_atto", dict(norm_eval=True))):
        net = made(name, arguments)
        assert join_constant_norms(net, 3) == 0
        assert not any("forward" in vars(module) for module in net.modules())


def test_a_joined_net_is_saved_whole_and_folded_for_evaluation() -> None:
    net = made("timm:resnet10t", dict(norm_eval=True))
    plain = copy.deepcopy(net).eval()
    join_constant_norms(net, 3)
    x = torch.randn(1, 3, 64, 64)
    again = pickle.loads(pickle.dumps(net))
    again.bn1.weight.data.zero_()
    model = nn.ModuleDict({"backbone": net})
    fold_norms(model)
    with torch.no_grad():
        for found, expected in zip(model["backbone"](x), plain(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
        assert not torch.allclose(again.eval()(x)[0], plain(x)[0], rtol=1e-2)


def test_a_training_thaws_averages_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By our runner, which joins, as by mmengine's; what was saved goes on joined or not."""

    def train(where: str, **changes: Any) -> list[float]:
        cfg = tiny.config(tmp_path / where, **changes)
        cfg.model.backbone.norm_eval = True  # statistics of four noise images make chaos of the last bits
        cfg.optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.01))
        cfg.custom_hooks.append(dict(type="EMAHook", momentum=0.1))
        return tiny.train(cfg)[1].losses

    def state(where: str) -> dict[str, Tensor]:
        content = torch.load(tmp_path / where / "epoch_4.pth", weights_only=False)  # our own file of just now
        return {**content["state_dict"], **content["ema_state_dict"]}

    plain = train("plain")
    monkeypatch.setattr(tiny, "Runner", Runner)
    seen: list[int] = []
    monkeypatch.setattr(constant_norms, "pays", lambda *_: not seen.append(1))
    joined = train("joined")
    assert seen
    assert joined == pytest.approx(plain, rel=1e-3)
    assert [*state("joined")] == [*state("plain")]
    go_on = dict(load_from=str(tmp_path / "joined" / "epoch_2.pth"), resume=True)
    assert train("goes_on", **go_on) == pytest.approx(joined[6:], rel=1e-3)
    with monkeypatch.context() as patch:
        patch.setattr("mmbackbones.engine.runner.join_norms", lambda _: None)
        assert train("goes_on_plain", **go_on) == pytest.approx(joined[6:], rel=1e-3)
