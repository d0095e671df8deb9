"""Thawing during a training: the trainable set, the optimiser, resume, several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from mmengine.registry import OPTIMIZERS
from tiny_training import Recorder, config
from warm import in_processes

import mmbackbones
from mmbackbones import InputError
from mmbackbones.cli.together import free_port


@pytest.fixture(scope="module")
def gradual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recorder]:
    """A whole training in which stages thaw after epochs 1, 2 and 3, with a checkpoint of each epoch."""
    work = tmp_path_factory.mktemp("gradual")
    return work, tiny.train(config(work))[1]


def stages_in(names: set[str]) -> set[int]:
    """Stages of the backbone that have trainable parameters."""
    stages = mmbackbones.build(tiny.NET).param_stages
    return {stages[name.removeprefix("backbone.")] for name in names if name.startswith("backbone.")}


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


# -- several processes ----------------------------------------------------------------------------


def test_two_processes_thaw_together(tmp_path: Path) -> None:
    """Each sees other images, so parameters stay the same only if all gradients are averaged."""
    in_processes(tiny.one_of_two, free_port(), tmp_path)
    first, second = (torch.load(tmp_path / f"rank{rank}.pth") for rank in (0, 1))
    sets = [stages_in(set(names)) for names in first["trainable"]]
    assert sets == [set()] * 2 + [{4}] * 2 + [{2, 3, 4}] * 2 + [{0, 1, 2, 3, 4}] * 2
    assert first["trainable"] == second["trainable"]
    assert all(torch.equal(value, second["params"][name]) for name, value in first["params"].items())
    assert first["losses"] != second["losses"]
