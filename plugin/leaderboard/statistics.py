"""What can be told from the runs of a board: intervals, corrected comparisons, ties.

Two things vary: which images happen to be in the validation set, and the seed of a training. The images are
the same for all nets and seeds, so they are drawn together (a paired bootstrap); the variance of seeds is
pooled over the nets, since three seeds of one net say little of it. Both add up in a difference's error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy import stats

LEVEL = 0.05
#: A test of signs over n seeds has no two-sided p below 2 / 2**n: with five, none below 0.0625.
SEEDS_FOR_P = 6
_BCA_DRAWS = 4000


@dataclass(frozen=True)
class Net:
    """One net of a board.

    Attributes:
        name: What it is called.
        seeds: The metric of each seed, on all images.
        resampled: (draws,) mean over the seeds of the metric on images drawn anew, see :func:`draw`.
    """

    name: str
    seeds: Mapping[int, float]
    resampled: np.ndarray

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(list(self.seeds.values())))


@dataclass(frozen=True)
class Standing:
    """Where a net stands.

    Attributes:
        name: What it is called.
        mean: Metric over all seeds.
        low: Lower end of its 95 % interval, over images and (where there are several) seeds.
        high: Upper end.
        group: 1 for the best and those tied with it, then 2 ...
        p: Of its difference to the best, over images and seeds, corrected for all comparisons (Holm).
        seed_p: Of the difference to the best by signs of seeds alone, corrected; None below
            :data:`SEEDS_FOR_P` common seeds.
    """

    name: str
    mean: float
    low: float
    high: float
    group: int
    p: float
    seed_p: float | None


def draw(images: int, draws: int, seed: int = 0) -> np.ndarray:
    """(draws, images) how often each image is in each resample of as many; the same for the same ``seed``."""
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=draws)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number by Holm's method (Scand. J. Statist. 6, 1979)."""
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty(len(p))
    found[order] = np.minimum(raised, 1.0)
    return found


def compare(nets: Sequence[Net], images: int) -> list[Standing]:
    """All nets, best first.

    With one seed each nothing is known of the seeds, so no two nets are told apart: all are tied.

    Args:
        nets: with one seed or more each, resampled with the same draws.
        images: in the validation set.
    """
    nets = sorted(nets, key=lambda net: -net.mean)
    if not nets:
        return []
    noise = _Noise.of(nets, images)
    pairs = list(combinations(range(len(nets)), 2))
    corrected = holm(noise.p_of([(nets[a], nets[b]) for a, b in pairs]))
    p = dict(zip(pairs, corrected, strict=True))
    groups = _groups(len(nets), {pair for pair, value in p.items() if value < LEVEL})
    by_signs = [_sign_p(nets[0], net) for net in nets[1:]]
    known = [index for index, value in enumerate(by_signs) if value is not None]
    for index, value in zip(known, holm(np.array([by_signs[index] for index in known])), strict=True):
        by_signs[index] = float(value)
    return [
        Standing(
            net.name,
            net.mean,
            *noise.interval_of(net),
            group=groups[place],
            p=float(p[0, place]) if place else 1.0,
            seed_p=by_signs[place - 1] if place else None,
        )
        for place, net in enumerate(nets)
    ]


@dataclass(frozen=True)
class _Noise:
    """Variance of one seed, pooled over nets, with its degrees of freedom, and those of the images."""

    seed: float
    seed_freedom: int
    image_freedom: int

    @classmethod
    def of(cls, nets: Sequence[Net], images: int) -> _Noise:
        freedom = sum(len(net.seeds) - 1 for net in nets)
        spread = sum(sum((value - net.mean) ** 2 for value in net.seeds.values()) for net in nets)
        return cls(spread / freedom if freedom else 0.0, freedom, max(1, images - 1))

    def p_of(self, pairs: Sequence[tuple[Net, Net]]) -> np.ndarray:
        """Of the difference of each pair, by Student's t; 1 where nothing is known of the seeds."""
        if not self.seed_freedom:
            return np.ones(len(pairs))
        gaps = np.array([abs(a.mean - b.mean) for a, b in pairs])
        shares = [1 / len(a.seeds) + 1 / len(b.seeds) for a, b in pairs]
        errors = self._error([a.resampled - b.resampled for a, b in pairs], shares)
        sizes = np.divide(gaps, errors, out=np.where(gaps > 0, np.inf, 0.0), where=errors > 0)
        return np.asarray(2 * stats.t.sf(sizes, self.freedom))

    def interval_of(self, net: Net) -> tuple[float, float]:
        (error,) = self._error([net.resampled], [1 / len(net.seeds)])
        reach = float(stats.t.isf(LEVEL / 2, self.freedom) * error)
        return net.mean - reach, net.mean + reach

    @property
    def freedom(self) -> int:
        """Degrees of freedom: the fewer of the two.

        Welch and Satterthwaite's would be more; two equal nets were then told apart in 5.2 % of 1000 boards.
        """
        return min(self.image_freedom, self.seed_freedom or self.image_freedom)

    def _error(self, resampled: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
        """Standard errors from both images and seeds."""
        images = np.array([np.var(one, ddof=1) for one in resampled])
        return np.asarray((images + self.seed * np.array(shares)) ** 0.5)


def _groups(count: int, separated: set[tuple[int, int]]) -> list[int]:
    """Group of each net, best first: a group is the best net left and all that it is not separated from."""
    groups = [0] * count
    for place in range(count):
        if not groups[place]:
            number = max(groups) + 1
            for other in range(place, count):
                if not groups[other] and (place, other) not in separated:
                    groups[other] = number
    return groups


def _sign_p(best: Net, other: Net) -> float | None:
    """Exact two-sided p of the mean difference over common seeds, if either sign is as likely."""
    common = best.seeds.keys() & other.seeds.keys()
    if len(common) < SEEDS_FOR_P:
        return None
    gaps = np.array([best.seeds[seed] - other.seeds[seed] for seed in sorted(common)])
    if len(gaps) > 14:  # more signs than are worth listing
        signs = np.random.default_rng(0).choice([-1, 1], (2**14, len(gaps)))
    else:
        signs = np.array(list(product([-1, 1], repeat=len(gaps))))
    reached = abs(signs @ gaps) >= abs(gaps.sum()) * (1 - 1e-9)
    return float(max(reached.mean(), 1 / len(signs)))


def seed_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Interval of the mean over seeds alone: bias-corrected and accelerated (BCa; Efron, JASA 82, 1987).

    None below :data:`SEEDS_FOR_P` seeds.
    """
    if len(values) < SEEDS_FOR_P:
        return None
    if min(values) == max(values):
        return values[0], values[0]
    rng = np.random.default_rng(0)
    found = stats.bootstrap(
        (np.asarray(values),), np.mean, method="BCa", n_resamples=_BCA_DRAWS, random_state=rng
    ).confidence_interval
    return float(found.low), float(found.high)
