"""Thawing during a training: the trainable set, the optimiser, resume, several processes; and freezing."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from mmengine.config import Config
from mmengine.registry import OPTIMIZERS
from tiny_training import Recorder, config
from torch import nn

import mmbackbones
from mmbackbones import InputError
from mmbackbones.compose.phases import keep_phases
from mmbackbones.compose.schedule import set_epochs
from mmbackbones.finetune.unfreeze import UnfreezeHook, check_schedule

KINDS = ["resnet18", "swin_tiny", "vit_tiny_patch16_224"]


@pytest.fixture(scope="module")
def gradual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recorder]:
    """A whole training in which stages thaw after epochs 1, 2 and 3, with a checkpoint of each epoch."""
    work = tmp_path_factory.mktemp("gradual")
    return work, tiny.train(config(work))[1]


def stages_in(names: set[str]) -> set[int]:
    """Stages of the backbone that have trainable parameters."""
    stages = mmbackbones.build(tiny.NET).param_stages
    return {stages[name.removeprefix("backbone.")] for name in names if name.startswith("backbone.")}


# -- the backbone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_moved_boundary_is_as_if_built_so(name: str) -> None:
    net = mmbackbones.build(name, frozen_stages=4)
    for k in (2, 0):
        assert copy.deepcopy(net).freeze(k) is not net
        assert net.freeze(k) is net
        built = mmbackbones.build(name, frozen_stages=k)
        assert net.frozen_stages == k
        for ours, theirs in zip(net.parameters(), built.parameters(), strict=True):
            assert ours.requires_grad == theirs.requires_grad
        for ours, theirs in zip(net.modules(), built.modules(), strict=True):
            assert ours.training == theirs.training
    assert not net.eval().freeze(1).training
    with pytest.raises(InputError, match="frozen_stages=5 is out of range"):
        net.freeze(5)


def test_a_moved_boundary_replaces_a_fraction_and_keeps_what_never_trains() -> None:
    net = mmbackbones.build("resnet18", frozen_fraction=0.5, norm_cfg=dict(type="BN", requires_grad=False))
    net.freeze(0)
    assert (net.frozen_stages, net.frozen_fraction) == (0, None)
    trains = {name for name, param in net.named_parameters() if param.requires_grad}
    assert "layer1.0.conv1.weight" in trains
    assert not any(".bn" in name for name in trains)
    assert trains == net.trainable_names(0)


# -- what frozen costs ----------------------------------------------------------------------------


def backward_nodes(tensors: tuple[torch.Tensor, ...]) -> int:
    seen: set[Any] = set()
    todo = [tensor.grad_fn for tensor in tensors]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += [parent for parent, _ in node.next_functions]
    return len(seen)


@pytest.mark.parametrize("name", KINDS)
def test_frozen_stages_cost_no_backward_and_keep_no_activations(name: str) -> None:
    net = mmbackbones.build(name, frozen_stages=4).train()
    kept, nodes = [], []
    for k in (4, 3, 2, 1, 0, -1):
        saved: list[int] = []

        def pack(tensor: torch.Tensor, saved: list[int] = saved) -> torch.Tensor:
            saved.append(tensor.numel() if not isinstance(tensor, nn.Parameter) else 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            maps = net.freeze(k)(torch.randn(1, 3, 64, 64))
        kept.append(sum(saved))
        nodes.append(backward_nodes(maps))
    if name == "vit_tiny_patch16_224":  # its fresh pyramid trains always
        kept, nodes = ([value - values[0] for value in values] for values in (kept, nodes))
    assert kept[0] == nodes[0] == 0
    assert sorted(set(kept)) == kept, "each stage that trains keeps its own activations, and only those"
    assert sorted(set(nodes)) == nodes


@pytest.mark.parametrize(
    ("name", "frozen"),
    [("mobilenetv3_small_050", dict(frozen_stages=2)), ("shufflenet_v2_x0_5", dict(frozen_fraction=1 / 3))],
)
def test_frozen_parameters_and_statistics_are_bit_equal_after_20_steps(
    name: str, frozen: dict[str, Any]
) -> None:
    net = mmbackbones.build(name, **frozen).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    before = copy.deepcopy(net.state_dict())
    for _ in range(20):
        optimiser.zero_grad()
        sum((fmap**2).mean() for fmap in net(torch.randn(2, 3, 64, 64))).backward()
        optimiser.step()
    after = net.state_dict()
    owners = {n.rpartition(".")[0] for n, param in net.named_parameters() if param.requires_grad}
    still = [key for key in before if key.rpartition(".")[0] not in owners]
    assert any("running_var" in key for key in still)
    assert all(torch.equal(after[key], before[key]) for key in still)
    assert len(still) < len(before) - 20


def test_with_everything_frozen_the_head_still_trains(tmp_path: Path) -> None:
    cfg = config(tmp_path, custom_hooks=[dict(type="Recorder")])
    before = mmbackbones.build(tiny.NET).state_dict().keys()
    runner, seen = tiny.train(cfg)
    assert seen.trainable == [{"head.weight", "head.bias"}] * 12
    assert before == runner.model.backbone.state_dict().keys()
    assert len(set(seen.losses)) > 3


# -- the hook -------------------------------------------------------------------------------------


def test_stages_thaw_from_the_top_at_their_epochs(gradual: tuple[Path, Recorder]) -> None:
    _, seen = gradual
    stages = [stages_in(names) for names in seen.trainable]
    assert stages == [set()] * 3 + [{4}] * 3 + [{2, 3, 4}] * 3 + [{0, 1, 2, 3, 4}] * 3


def test_thawed_parameters_have_their_rates_and_fresh_momentum(gradual: tuple[Path, Recorder]) -> None:
    """Of step 0 already: a parameter without gradient has a group, and no state until it is thawed."""
    work, seen = gradual
    ends = [
        torch.load(work / f"epoch_{k}.pth", weights_only=False)["optimizer"]  # our own files of just now
        for k in (1, 2, 3, 4)
    ]
    params = [sum(len(group["params"]) for group in end["param_groups"]) for end in ends]
    assert params == [len(seen.trainable[-1])] * 4
    assert [len(end["state"]) for end in ends] == [len(seen.trainable[k]) for k in (0, 3, 6, 9)]
    steps = [{int(state["step"]) for state in end["state"].values()} for end in ends]
    assert steps == [{3}, {3, 6}, {3, 6, 9}, {3, 6, 9, 12}]
    assert len(seen.rates[0]) == 14 + 1  # 13 pairs of convolutions, stem, head
    ratios = [max(rates) / min(rates) for rates in seen.rates]
    assert ratios == pytest.approx([0.8**-14] * 12)  # schedules move all groups together


def test_resumed_in_the_middle_it_goes_on_as_if_uninterrupted(
    gradual: tuple[Path, Recorder], tmp_path: Path
) -> None:
    work, whole = gradual
    _, seen = tiny.train(config(tmp_path, load_from=str(work / "epoch_2.pth"), resume=True))
    assert seen.trainable == whole.trainable[6:]
    assert seen.losses == whole.losses[6:]
    assert seen.rates == whole.rates[6:]


def test_what_was_thawed_stays_so_when_the_schedule_was_changed_meanwhile(
    gradual: tuple[Path, Recorder], tmp_path: Path
) -> None:
    work, whole = gradual
    cfg = config(tmp_path, load_from=str(work / "epoch_3.pth"), resume=True)
    cfg.custom_hooks[0].schedule = {2: 3, 1000: -1}
    _, seen = tiny.train(cfg)
    assert seen.trainable == [whole.trainable[8]] * 3


def test_weights_alone_start_the_schedule_anew(gradual: tuple[Path, Recorder], tmp_path: Path) -> None:
    cfg = config(tmp_path, load_from=str(gradual[0] / "epoch_3.pth"))
    cfg.train_cfg.max_epochs = 1
    _, seen = tiny.train(cfg)
    assert [stages_in(names) for names in seen.trainable] == [set()] * 3


def test_iterations_count_too_with_mmengines_own_constructor(tmp_path: Path) -> None:
    """That constructor leaves out what is frozen when it builds; without paramwise_cfg it does not."""
    cfg = config(tmp_path)
    cfg.custom_hooks[0] = dict(type="mmbackbones.UnfreezeHook", schedule={2: 3, 3: 2}, by_epoch=False)
    cfg.model.backbone = dict(type=f"mmbackbones.{tiny.NET}", frozen_fraction=1.0)
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=4)
    cfg.param_scheduler = None
    cfg.optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, weight_decay=0.1))
    cfg.optim_wrapper.paramwise_cfg = dict(norm_decay_mult=0.0)
    runner, seen = tiny.train(cfg)
    assert [stages_in(names) for names in seen.trainable] == [set(), set(), {4}, {3, 4}]
    groups = runner.optim_wrapper.optimizer.param_groups
    held = {id(param) for group in groups for param in group["params"]}
    named = dict(runner.model.named_parameters())
    assert held == {id(named[name]) for name in seen.trainable[-1]}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.1}


def test_an_optimiser_that_lacks_what_thaws_later_is_refused(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    cfg.optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="OnlyTheHead", lr=0.1))
    with pytest.raises(InputError, match="optimizer lacks parameters that are thawed later"):
        tiny.train(cfg)


@OPTIMIZERS.register_module()
class OnlyTheHead(torch.optim.SGD):
    """An optimiser that takes only the last two parameters."""

    def __init__(self, params: Any, **kwargs: Any) -> None:
        super().__init__(list(params)[-2:], **kwargs)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({}, "nothing to thaw.*schedule={2: 3, 4: 2, 6: -1}"),
        ([3, 2], "nothing to thaw"),
        ({2: 3, 4: 3}, "out of order.*has to fall"),
        ({2: 1, 4: 2}, "out of order"),
        ({4: 3, 2: 1}, "out of order"),
        ({2: 4}, "frozen_stages=4 .* out of range. Allowed: 3 to 1"),
        ({2: 1, 3: -2}, "frozen_stages=-2 .* out of range"),
        ({-1: 3}, "begins at -1. Allowed: 1 or later"),
        ({0: 3}, "begins at 0"),
        ({1.5: 3}, "not of whole numbers"),
        ({1: True}, "not of whole numbers"),
    ],
)
def test_a_schedule_that_thaws_nothing_is_refused(schedule: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        UnfreezeHook(schedule)


def test_a_schedule_is_sorted_and_the_callers_stays() -> None:
    given = {4: -1, 2: 1}
    assert list(check_schedule(given)) == [2, 4]
    assert list(given) == [4, 2]
    assert UnfreezeHook(given).schedule == {2: 1, 4: -1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model.backbone.frozen_stages": 3},
            "first frozen_stages=3 does not thaw .*starts with frozen_stages=3",
        ),
        ({"model.backbone.frozen_stages": -1}, "starts with frozen_stages=-1"),
        (
            {"model.backbone": dict(_delete_=True, type=f"mmbackbones.{tiny.NET}", frozen_fraction=0.5)},
            "starts with frozen_fraction=0.5",
        ),
        (
            {
                "train_cfg": dict(_delete_=True, type="IterBasedTrainLoop", max_iters=2),
                "param_scheduler": None,
            },
            "counts epochs, but this training counts iterations. Set by_epoch=False",
        ),
    ],
)
def test_a_training_that_the_schedule_does_not_fit_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        tiny.train(config(tmp_path, **changes))


def test_a_model_without_our_backbone_is_refused(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    cfg.model = dict(type="NoBackbone")
    cfg.optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1))
    with pytest.raises(InputError, match="has no backbone of mmbackbones to thaw"):
        tiny.train(cfg)


def test_a_schedule_follows_the_length_of_the_training(tmp_path: Path) -> None:
    cfg = Config(dict(train_cfg=dict(by_epoch=True, max_epochs=12), custom_hooks=[]))
    for epochs, expected in ((24, {4: 3, 12: -1}), (6, {1: 3, 3: -1}), (3, {1: 3, 2: -1})):
        cfg.train_cfg.max_epochs = 12
        cfg.custom_hooks = [dict(type="mmbackbones.UnfreezeHook", schedule={6: -1, 2: 3})]
        set_epochs(cfg, epochs, steps=10)
        assert cfg.custom_hooks[0].schedule == expected
        cfg.dump(tmp_path / "config.py")
        assert Config.fromfile(tmp_path / "config.py").custom_hooks[0].schedule == expected


@pytest.mark.parametrize(
    ("epochs", "expected", "said"),
    [
        (12, {2: 3, 4: 2, 6: -1}, ""),
        (5, {1: 3, 2: 2, 3: -1}, ""),  # rounded, two of them would be at 2 and one of them lost
        (4, {1: 3, 2: 2, 3: -1}, ""),
        (3, {1: 2, 2: -1}, "3 epochs are too few for the 3 phases of UnfreezeHook: frozen_stages=3 is left"),
        (
            1,
            None,
            "1 epochs are too few for the 3 phases of UnfreezeHook: frozen_stages=3, frozen_stages=2, ",
        ),
    ],
)
def test_no_phase_of_a_short_training_is_lost_without_a_word(
    epochs: int, expected: dict[int, int] | None, said: str
) -> None:
    hook = dict(type="mmbackbones.UnfreezeHook", schedule={2: 3, 4: 2, 6: -1})
    cfg = Config(dict(train_cfg=dict(by_epoch=True, max_epochs=12), custom_hooks=[hook]))
    set_epochs(cfg, epochs, steps=10)
    notes = " ".join(keep_phases(cfg, steps=10))
    assert said in notes
    assert bool(said) == bool(notes)
    if expected:
        assert cfg.custom_hooks[0].schedule == expected


def test_phases_in_iterations_end_with_the_training() -> None:
    hook = dict(type="mmbackbones.UnfreezeHook", by_epoch=False, schedule={1000: 3, 2000: -1})
    cfg = Config(dict(train_cfg=dict(by_epoch=True, max_epochs=2), custom_hooks=[hook]))
    (note,) = keep_phases(cfg, steps=10)
    assert cfg.custom_hooks[0].schedule == {18: 3, 19: -1}
    assert "after iterations {18: 3, 19: -1} instead of {1000: 3, 2000: -1}" in note


# -- several processes ----------------------------------------------------------------------------


def test_two_processes_thaw_together(tmp_path: Path) -> None:
    """Each sees other images, so parameters stay the same only if all gradients are averaged."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [tiny.__file__, str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (torch.load(tmp_path / f"rank{rank}.pth") for rank in (0, 1))
    sets = [stages_in(set(names)) for names in first["trainable"]]
    assert sets == [set()] * 2 + [{4}] * 2 + [{2, 3, 4}] * 2 + [{0, 1, 2, 3, 4}] * 2
    assert first["trainable"] == second["trainable"]
    assert all(torch.equal(value, second["params"][name]) for name, value in first["params"].items())
    assert first["losses"] != second["losses"]
