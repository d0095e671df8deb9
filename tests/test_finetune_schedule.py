"""Schedules of thawing: what is refused, and how they follow the length of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmbackbones import InputError
from mmbackbones.compose.phases import keep_phases
from mmbackbones.compose.schedule import set_epochs
from mmbackbones.finetune.unfreeze import UnfreezeHook, check_schedule


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
