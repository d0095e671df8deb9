"""The optimiser's step in one pass over memory: the same values, and only where torch has it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import tiny_training
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmbackbones.engine.layout import take_fused_steps
from mmbackbones.engine.runner import Runner

OPTIMIZERS: list[tuple[Any, dict[str, Any]]] = [
    (torch.optim.AdamW, dict(lr=0.01, weight_decay=0.05)),
    (torch.optim.Adam, dict(lr=0.01)),
    (torch.optim.SGD, dict(lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)),
]


def steps(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], seed: int) -> None:
    """Three of them, with gradients that the seed decides; one weight has none, as a frozen one."""
    rng = torch.Generator().manual_seed(seed)
    for _ in range(3):
        for weight in weights[:-1]:
            weight.grad = torch.randn(weight.shape, generator=rng)
        optimizer.step()


@pytest.mark.parametrize(("kind", "arguments"), OPTIMIZERS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_weights_are_those_of_plain_steps(kind: Any, arguments: dict[str, Any]) -> None:
    """Also where a training goes on from a checkpoint that was made with plain steps."""
    start = [torch.randn(5, 7), torch.randn(64), torch.randn(3)]
    sides = [[nn.Parameter(value.clone()) for value in start] for _ in range(3)]
    plain, fused, goes_on = (kind(side, **arguments) for side in sides)
    take_fused_steps(OptimWrapper(fused))
    assert fused.param_groups[0]["fused"] is True
    for optimizer, side in zip((plain, fused), sides[:2], strict=True):
        steps(optimizer, side, 0)
    for weight, value in zip(sides[2], sides[0], strict=True):
        weight.data.copy_(value.data)
    take_fused_steps(OptimWrapper(goes_on))
    goes_on.load_state_dict(copy.deepcopy(plain.state_dict()))
    for optimizer, side in zip((plain, fused, goes_on), sides, strict=True):
        steps(optimizer, side, 1)
    for one, *others, value in zip(*sides, start, strict=True):
        for other in others:
            torch.testing.assert_close(one, other)
        assert torch.equal(one, value) == (value.shape == (3,))


def test_a_training_takes_them(tmp_path: Path) -> None:
    """With layer decay, clipped gradients, and stages that thaw on the way."""
    cfg = tiny_training.config(tmp_path)
    cfg.optim_wrapper.clip_grad = dict(max_norm=1)
    runner = Runner.from_cfg(cfg)
    runner.train()
    groups = runner.optim_wrapper.optimizer.param_groups  # mmengine adds one for its log
    assert len(groups) > 2
    assert {group["fused"] for group in groups} == {True}


def test_what_the_config_or_torch_says_stays() -> None:
    weights = [nn.Parameter(torch.rand(3))]
    for optimizer, said in (
        (torch.optim.AdamW(weights), True),
        (torch.optim.AdamW(weights, foreach=True), None),
        (torch.optim.AdamW(weights, fused=False), False),
        (torch.optim.Adam(weights, differentiable=True), None),
        (torch.optim.SGD([nn.Parameter(torch.rand(3, device="meta"))], lr=0.1), None),
    ):
        take_fused_steps(OptimWrapper(optimizer))
        assert optimizer.param_groups[0]["fused"] is said
    other = torch.optim.RMSprop(weights)
    take_fused_steps(OptimWrapperDict(one=OptimWrapper(other)))
    assert "fused" not in other.param_groups[0]
