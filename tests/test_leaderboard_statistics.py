"""The statistics of a board, on boards that are made up: nobody wins by luck, and a better net is seen."""

from __future__ import annotations

import numpy as np
import pytest

from mmbackbones.leaderboard.statistics import SEEDS_FOR_P, Net, compare, draw, holm, seed_interval

IMAGES, DRAWS = 50, 120
#: Standard deviations of what is common to an image, of a net on an image, and of a seed.
IMAGE, NET_ON_IMAGE, SEED = 1.0, 0.5, 0.1


def board(rng: np.random.Generator, gains: np.ndarray, seeds: int) -> list[Net]:
    """Nets that are better by ``gains`` times the deviation of the difference of two runs."""
    shape = (len(gains), seeds, IMAGES)
    deviation = (2 * (SEED**2 + NET_ON_IMAGE**2 / IMAGES)) ** 0.5
    scores = rng.normal(0, IMAGE, IMAGES) + rng.normal(0, NET_ON_IMAGE, (len(gains), 1, IMAGES))
    scores = scores + rng.normal(0, SEED, (len(gains), seeds, 1)) + np.zeros(shape)
    scores += gains[:, None, None] * deviation
    drawn = draw(IMAGES, DRAWS, int(rng.integers(1 << 30)))
    return [
        Net(f"net{n}", dict(enumerate(one.mean(1))), drawn @ one.mean(0) / IMAGES)
        for n, one in enumerate(scores)
    ]


@pytest.mark.parametrize(("nets", "seeds"), [(2, 3), (8, 3), (4, 6)])
def test_equal_nets_have_no_winner(nets: int, seeds: int) -> None:
    rng = np.random.default_rng(7)
    alone = parted = 0
    for _ in range(200):
        groups = [one.group for one in compare(board(rng, np.zeros(nets), seeds), IMAGES)]
        alone += groups.count(1) == 1
        parted += len(set(groups)) > 1
    assert alone <= parted <= 10  # 5 %


def test_a_net_five_deviations_better_is_always_told_apart() -> None:
    rng = np.random.default_rng(3)
    gains = np.array([0, 0, 5.0, 0, 0, 0])
    for _ in range(200):
        standings = compare(board(rng, gains, SEEDS_FOR_P), IMAGES)
        assert standings[0].name == "net2"
        assert [one.group for one in standings].count(1) == 1
        assert all(one.p < 0.05 for one in standings[1:])


def test_the_interval_holds_the_truth() -> None:
    """Of a net's mean, in 95 of 100 boards; images and seeds are drawn anew in each."""
    rng = np.random.default_rng(11)
    inside = [
        one.low <= 0 <= one.high for _ in range(100) for one in compare(board(rng, np.zeros(4), 3), IMAGES)
    ]
    assert 0.93 <= np.mean(inside) < 1


@pytest.mark.parametrize("seeds", [1, 3, 5, 6])
def test_no_p_of_seeds_below_six(seeds: int) -> None:
    first, second = compare(board(np.random.default_rng(1), np.array([9.0, 0]), seeds), IMAGES)
    values = list(np.random.default_rng(2).normal(size=seeds))
    if seeds < SEEDS_FOR_P:
        assert second.seed_p is None
        assert seed_interval(values) is None
    else:
        assert second.seed_p == pytest.approx(2 / 2**seeds)
        low, high = seed_interval(values)
        assert min(values) < low < np.mean(values) < high < max(values)
    assert (first.group == second.group) == (seeds == 1)  # of one seed nothing is known


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([])).shape == (0,)


def test_a_tie_is_with_the_first_of_its_group() -> None:
    """Three steps down, of which only the ends are told apart."""
    rng = np.random.default_rng(0)
    found = compare(board(rng, np.array([0.0, 12, 24]), 3), IMAGES)
    assert [(one.name, one.group) for one in found] == [("net2", 1), ("net1", 2), ("net0", 3)]
    same = [Net(name, {0: 1.0, 1: 1.0}, np.full(DRAWS, 1.0)) for name in "ab"]
    assert [one.group for one in compare(same, IMAGES)] == [1, 1]
    assert compare([], IMAGES) == []
