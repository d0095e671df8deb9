"""The trials of a spec: grids as lists, which every net gets in the first rung, and bad ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import leaderboard_fake as fake
import pytest

from mmbackbones.errors import InputError
from mmbackbones.leaderboard.marks import read_marked
from mmbackbones.leaderboard.plan import finalists
from mmbackbones.leaderboard.records import read_records
from mmbackbones.leaderboard.trials import Trial, read_trials


def trials(folder: Path, text: str) -> tuple[Trial, ...]:
    (folder / "board.yaml").write_text(f"task: detection\n{text}\n", encoding="utf-8")
    return read_trials(read_marked(folder / "board.yaml"), 8)


def test_a_list_of_values_makes_a_trial_of_each(tmp_path: Path) -> None:
    named = trials(
        tmp_path,
        "trials:\n"
        "  sgd: {type: SGD, lr: [0.01, 1e-3], momentum: [0.9, 0.95]}\n"
        "  adamw: {type: AdamW, lr: 1e-4, betas: [0.9, 0.999]}",
    )
    assert {one.name: dict(one.optimizer) for one in named} == {
        "sgd lr=0.01 momentum=0.9": {"type": "SGD", "lr": 0.01, "momentum": 0.9},
        "sgd lr=0.01 momentum=0.95": {"type": "SGD", "lr": 0.01, "momentum": 0.95},
        "sgd lr=0.001 momentum=0.9": {"type": "SGD", "lr": 0.001, "momentum": 0.9},
        "sgd lr=0.001 momentum=0.95": {"type": "SGD", "lr": 0.001, "momentum": 0.95},
        "adamw": {"type": "AdamW", "lr": 1e-4, "betas": [0.9, 0.999]},
    }
    crossed = trials(tmp_path, "trials: {optimizer: [SGD, AdamW], lr: [0.01, 0.001], weight_decay: 1e-4}")
    assert [one.name for one in crossed] == [
        *("sgd lr=0.01", "sgd lr=0.001"),
        *("adamw lr=0.01", "adamw lr=0.001"),
    ]
    assert crossed[3].optimizer == {"type": "AdamW", "lr": 0.001, "weight_decay": 1e-4}
    [one] = trials(tmp_path, "trials: {optimizer: SGD, lr: 0.01}")
    assert one == Trial("sgd", {"type": "SGD", "lr": 0.01})
    pairs = trials(tmp_path, "trials: {a: {type: AdamW, lr: 0.01, betas: [[0.9, 0.99], [0.8, 0.99]]}}")
    assert [one.name for one in pairs] == ["a betas=[0.9,0.99]", "a betas=[0.8,0.99]"]
    both = trials(tmp_path, "trials: {a: {type: [SGD, Adam], lr: 0.01}}")
    assert [one.name for one in both] == ["a sgd", "a adam"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("trials: {}", 2, "trials is empty"),
        ("trials:\n  sgd: {type: SGD}", 3, "trial 'sgd' needs `type` and `lr`"),
        ("trials:\n  sgd: {type: SGD,\n    lr: [0.1, -1]}", 4, "trial 'sgd': lr -1 is no rate above 0"),
        ("trials:\n  sgd: {type: SGD, lr: []}", 3, "lr []: list different values to try"),
        ("trials:\n  sgd: {type: SGD, lr: [0.1, 0.1]}", 3, "lr [0.1, 0.1]: list different values"),
        ("trials:\n  optimizer: [SGD,\n    AdamX]\n  lr: 0.1", 4, "'AdamX' is unknown. Nearest: Adam"),
        ("trials: {optimizer: SGD}", 2, "trials needs `optimizer` and `lr`"),
    ],
)
def test_a_bad_grid_is_told_file_and_line(text: str, line: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        trials(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'board.yaml'}:{line}: ")
    assert said in str(error.value)


def test_each_net_gets_the_whole_grid_in_the_first_rung_and_its_best_goes_on(tmp_path: Path) -> None:
    names = tuple(one.name for one in trials(tmp_path, "trials: {optimizer: SGD, lr: [0.1, 0.01, 0.001]}"))
    board = replace(fake.board(("a", "b", "c"), names, (0, 1)), rungs=(1,))
    fake.play(tmp_path, board)
    records = read_records(tmp_path)
    first = [one for one in records.values() if one.seed == 0]
    assert sorted((one.backbone, one.trial) for one in first) == sorted(
        (net, name) for net in board.backbones for name in names
    )
    best = {
        net: max(names, key=lambda name, net=net: fake.metric_of(f"{net}-{name}-0", 1))
        for net in finalists(board, records)
    }
    assert len(best) == 2
    assert {(one.backbone, one.trial) for one in records.values() if one.state == "ok"} == set(best.items())
