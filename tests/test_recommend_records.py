"""``mmbackbones recommend --records``: what was measured ranks, ties go to the cheaper, regret is small."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_compose import main_fails, main_ok

from mmbackbones import InputError, recommend
from mmbackbones.advisor.ranking import expect, net_of, order
from mmbackbones.advisor.records import (
    Board,
    Measured,
    boards,
    read_records,
    shipped_boards,
    shipped_records,
)
from mmbackbones.catalog import catalog_names, row_of
from mmbackbones.catalog.own import REGISTERED
from mmbackbones.catalog.rows import ROWS
from mmbackbones.catalog.selection import choices
from mmbackbones.leaderboard.records import Record, write_record

ORDERED = ("regnety_040", "resnet101", "swin_tiny_patch4_window7_224", "resnet50", "resnet18")


def write(folder: Path, number: int, **facts: Any) -> None:
    """A record as a leaderboard writes it, with what is asked for in it."""
    known = dict(
        task="detection", model="faster-rcnn", metric_name="bbox_mAP", image_size="320x240", epochs=12
    )
    run = dict(key=f"run{number}", spec="s", data="abc", trial="sgd", seed=0, state="ok", **known)
    write_record(folder / "runs" / f"run{number}", Record(**{**run, **facts}))


def board(folder: Path, seeds: Sequence[float] = (-0.004, 0.0, 0.004), step: float = 0.05) -> Path:
    """The nets of ``ORDERED``, best first, a step apart, each with three seeds."""
    runs = [(name, place, seed) for place, name in enumerate(ORDERED) for seed in range(len(seeds))]
    for number, (name, place, seed) in enumerate(runs):
        write(folder, number, backbone=name, seed=seed, metric=0.6 - step * place + seeds[seed])
    return folder


def test_the_users_own_figures_rank_the_rows(tmp_path: Path) -> None:
    assert recommend("detection")[0].backbone == "swin_tiny_patch4_window7_224"
    answers = recommend("detection", records=[board(tmp_path)], top=99)
    assert answers[0].config == "detection/faster-rcnn_regnety-040_fpn_1x_coco"
    assert answers[0].evidence[0] == "table of detection, accuracy"
    found = answers[0].evidence[1]
    assert found.startswith("measured: bbox_mAP 0.6, mean of 3 seeds, 1. of 5 nets of faster-rcnn on abc (")
    assert str(tmp_path) in found
    (other,) = [
        each for each in answers if each.config.startswith("detection/ssdlite_mobilenetv3-large-minimal")
    ]
    assert "not trained on your 1 board: ranked there by nets of its family, kind and cost" in other.evidence
    rows = [answer.backbone for answer in answers if answer.model == "faster-rcnn"]
    assert [name for name in rows if name in ORDERED] == list(ORDERED)


def test_what_chance_may_have_ordered_goes_by_cost(tmp_path: Path) -> None:
    answers = recommend("detection", records=[board(tmp_path, (-0.3, 0.0, 0.3), step=0.001)], top=99)
    rows = [answer for answer in answers if answer.model == "faster-rcnn" and answer.backbone in ORDERED]
    assert [answer.gflops for answer in rows] == sorted(answer.gflops for answer in rows)


def test_a_pair_that_is_in_no_table_comes_with_the_commands_that_write_its_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board(tmp_path)
    for number, name in ((90, "resnet34"), (91, "mobilenetv2_050")):
        write(tmp_path, number, backbone=name, metric=0.9 - number / 1000, weights={"licence": "mit"})
    write(tmp_path, 92, backbone="resnet26", metric=None, state="failed", cause="oom")
    write(tmp_path, 93, backbone="vgg11", metric=0.99, task="segmentation", model="upernet")
    (first, second, *rest) = recommend("detection", records=[tmp_path], top=99)
    assert {first.backbone, second.backbone} == {"resnet34", "mobilenetv2_050"}
    assert not {"resnet26", "vgg11"} & {answer.backbone for answer in rest}
    assert first.config == ""
    make, train = (shlex.split(command) for command in first.commands)
    assert train == ["mmbackbones", "train", "my.py", "--data", "DIR"]
    monkeypatch.chdir(tmp_path)
    main_ok([word for word in make[1:] if word not in ("--data", "DIR")])
    assert f"mmbackbones.{first.backbone}" in Path("my.py").read_text()
    limited = recommend("detection", records=[tmp_path], max_params="1M", license="mit", top=99)
    assert [answer.backbone for answer in limited] == ["mobilenetv2_050"]
    assert first.licence == "mit"


def test_a_record_of_a_net_of_the_users_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = tmp_path / "nets_of_mine.py"
    net.write_text(
        "from torch import nn\nfrom mmbackbones import register_backbone\n\n\n"
        "@register_backbone('mine')\ndef mine():\n    c = lambda a, b, s: nn.Conv2d(a, b, 3, s, 1)\n"
        "    return nn.Sequential(c(3, 4, 4), c(4, 8, 2), c(8, 8, 2), c(8, 8, 2))\n"
    )
    board(tmp_path / "board")
    write(tmp_path / "board", 90, backbone="mine", metric=0.9)
    words = ["recommend", "--task", "detection", "--records", str(tmp_path / "board")]
    assert main_fails(words) == 2
    assert "Unknown backbone 'mine'" in capsys.readouterr().err
    try:
        main_ok([*words, "--import", str(net), "--top", "1"])
        assert capsys.readouterr().out.startswith(
            "1. Faster R-CNN with mine\n   backbone  0.00158M parameters"
        )
    finally:
        REGISTERED.pop("mine", None)
        sys.modules.pop("nets_of_mine", None)
        sys.path.remove(str(tmp_path))


def test_the_best_trial_of_a_net_counts_and_boards_stay_apart(tmp_path: Path) -> None:
    for number, (trial, seed, metric) in enumerate(
        [("sgd", 0, 0.5), ("adamw", 0, 0.4), ("sgd", 1, 0.6), ("adamw", 1, 0.1)]
    ):
        write(tmp_path, number, backbone="resnet18", trial=trial, seed=seed, metric=metric)
    write(tmp_path, 10, backbone="resnet18", metric=0.9, image_size="640x480")
    found = boards(read_records(tmp_path))
    assert sorted(each.means["resnet18"] for each in found) == pytest.approx([0.55, 0.9])
    assert all(each.standings == {} for each in found)  # one net alone stands nowhere


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no record: Expecting property name"),
        ("[]", "is no record: 'list' object"),
        ('{"metric": 1}', "has format None, this version reads"),
        ('{"format": 1, "metric": 1}', "is no record: .*missing 7 required positional arguments: 'key'"),
        (None, "no record.json is below it"),
    ],
)
def test_what_is_no_record_is_named(text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "record.json").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        recommend("detection", records=[tmp_path])
    assert str(tmp_path) in str(caught.value)


def test_the_shipped_records_are_those_of_the_page(root: Path) -> None:
    boarded = {folder.name for folder in shipped_boards()}
    shipped = [one for one in shipped_records() if one.data not in boarded]
    page = (root / "docs" / "results.md").read_text(encoding="utf-8")
    assert len(shipped) > 15
    for one in shipped:
        assert row_of(one.backbone)
        heading = one.source.partition(", ")[2]
        assert f"## {heading}\n" in page
    # Two nets at most were trained alike, which is no board: they are quoted, and rank nothing.
    assert all(each.standings == {} for each in boards(shipped))


def test_a_shipped_board_from_random_weights_is_told_of_and_ranks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (board,) = [one for one in boards(shipped_records()) if one.standings and one.task == "detection"]
    assert board.scratch
    assert len(board.nets) == 12
    seeds = len(board.nets["resnet50"])
    place = 1 + sorted(board.means, key=lambda net: -board.means[net]).index("resnet50")
    with_it = recommend("detection", top=99)
    said = {each.backbone: " ".join(each.evidence) for each in with_it}
    assert f"mean of {seeds} seeds, {place}. of 12 nets of" in said["resnet50"]
    assert "on bccd from random weights, 4 epochs at 160x120 (board bccd of this package)" in said["resnet50"]
    bare = tuple(one for one in shipped_records() if one.data != "bccd")
    monkeypatch.setattr("mmbackbones.advisor.recommend.shipped_records", lambda: bare)
    assert [(each.model, each.backbone) for each in recommend("detection", top=99)] == [
        (each.model, each.backbone) for each in with_it
    ]


# -- regret ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """A world that boards are drawn from: what makes nets good, how much differs between data, and chance."""

    by_cost: float
    by_family: float
    by_net: float
    by_data: float
    chance: float


#: From worlds in which size says most to worlds in which it says nothing or misleads.
LAWS = (Law(0.8, 0.4, 0.3, 0.4, 0.2), Law(0.0, 0.8, 0.5, 0.4, 0.2), Law(-0.5, 0.5, 0.5, 0.5, 0.2))
NETS, BOARDS, WORLDS = 12, 4, 8
Chooser = Callable[[Board, list[Board], float], str]


def simulated(law: Law, lot: np.random.Generator) -> list[Board]:
    """Boards of one world, of different nets and data; resnet50 is on all."""
    pool = [spec for spec in ROWS if "detection" in spec.tasks and spec.name != "resnet50"]
    families = {spec.family: lot.normal() for spec in ROWS}
    own = {spec.name: lot.normal() for spec in ROWS}
    figures = []
    for number in range(BOARDS):
        chosen = [row_of("resnet50"), *(pool[i] for i in lot.choice(len(pool), NETS - 1, replace=False))]
        for spec in chosen:
            good = law.by_cost * np.log2(spec.gflops / 4) / 2 + law.by_family * families[spec.family]
            good += law.by_net * own[spec.name] + law.by_data * lot.normal()
            for seed in range(3):
                metric = 0.5 + 0.05 * (good + law.chance * lot.normal())
                figures.append(
                    Measured(
                        spec.name, "detection", "retinanet", f"data{number}", (), "mAP", metric, seed=seed
                    )
                )
    return boards(figures)


def recorded() -> list[Board]:
    """The boards that were trained and are shipped, with resnet50 among other nets."""
    found = boards(one for folder in shipped_boards() for one in read_records(folder))
    return [board for board in found if board.standings and "resnet50" in board.nets]


def within(board: Board, most: float) -> list[str]:
    """The nets of a board whose size is known before any is built."""
    named = [name for name in board.nets if name in catalog_names()]
    return sorted(name for name in named if row_of(name).params <= most)


def advised(board: Board, others: list[Board], most: float) -> str:
    """The first choice of the one ranking function, which has not seen the board."""
    nets = [net_of(name) for name in within(board, most)]
    tabled = [each.backbone.name for each in choices() if each.task == board.task]
    guesses = {name: 1 - 2 * tabled.index(name) / len(tabled) for name in set(tabled)}
    expected = expect(nets, board.task, others, guesses)
    return nets[order(expected, [(net.gflops,) for net in nets])[0]].name


CHOOSERS: dict[str, Chooser] = {
    "advised": advised,
    "resnet50": lambda board, others, most: "resnet50",
    "largest": lambda board, others, most: max(within(board, most), key=lambda name: row_of(name).params),
}


def regrets(board: Board, others: list[Board], most: float) -> Iterator[tuple[str, float]]:
    """How many spreads each way to choose stays behind the best net within the limit; random on average."""
    standings = {name: board.standings[name] for name in within(board, most)}
    best = max(standings.values())
    for way, choose in CHOOSERS.items():
        if (chosen := choose(board, others, most)) in standings:
            yield way, best - standings[chosen]
    yield "random", best - float(np.mean(list(standings.values())))


def mean_regret(worlds: Sequence[Sequence[Board]], most: float) -> dict[str, float]:
    """Over all boards, each chosen for with the others of its world as records."""
    found: dict[str, list[float]] = {}
    for world in worlds:
        for board in world:
            others = [other for other in world if other is not board]
            for way, regret in regrets(board, others, most):
                found.setdefault(way, []).append(regret)
    return {way: float(np.mean(values)) for way, values in found.items()}


@pytest.mark.parametrize("most", [np.inf, 30e6], ids=["no limit", "30M"])
def test_on_simulated_boards_the_first_choice_has_the_least_regret(most: float) -> None:
    """No board of several nets was recorded when this was written: see the test behind for those that are.

    Where size says most, the largest net is hard to beat, so that way is compared over all worlds.
    """
    lot = np.random.default_rng(0)
    worlds = {law: [simulated(law, lot) for _ in range(WORLDS)] for law in LAWS}
    for law, some in worlds.items():
        found = mean_regret(some, most)
        assert found["advised"] < 0.8 * min(found["resnet50"], found["random"]), (law, found)
    every = mean_regret([world for some in worlds.values() for world in some], most)
    assert every["advised"] < 0.8 * min(every[way] for way in ("resnet50", "random", "largest")), every


def test_on_recorded_boards_the_first_choice_has_little_regret() -> None:
    """Under limits from none to 3 M parameters; resnet50, where it is within, is the best of both boards."""
    found = recorded()
    if len(found) < 2:
        pytest.skip("fewer than two boards of three nets or more are shipped: one is chosen by others")
    limits = (np.inf, 30e6, 20e6, 10e6, 5e6, 3e6)
    means = [mean_regret([found], most) for most in limits]
    mean = {way: np.mean([one[way] for one in means]) for way in ("advised", "largest", "random")}
    assert mean["advised"] < 0.5 * min(mean["largest"], mean["random"]), mean
    assert means[0]["advised"] <= means[0]["resnet50"], means[0]
