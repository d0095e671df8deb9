"""The transfer score: LogME against evidence maximised by brute force, and what features it is given."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from mmbackbones.leaderboard.logme import logme
from mmbackbones.leaderboard.transfer import regions


def by_force(features: np.ndarray, labels: np.ndarray) -> float:
    """Maximises log N(y; 0, F F^T / a + 1 / b) of each class over a and b, from several starts."""
    found = []
    for one in np.unique(labels):
        y = (labels == one).astype(float)

        def loss(logs: np.ndarray, y: np.ndarray = y) -> float:
            a, b = np.exp(np.clip(logs, -14, 14))
            cov = features @ features.T / a + np.eye(len(y)) / b
            return -stats.multivariate_normal(np.zeros(len(y)), cov).logpdf(y) / len(y)

        tries = [
            optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
            for start in ((0.0, 0.0), (3.0, 3.0))
        ]
        found.append(-min(one.fun for one in tries))
    return float(np.mean(found))


@pytest.mark.parametrize("shape", [(30, 4), (12, 40)], ids=["more samples", "more channels"])
def test_logme_is_the_largest_evidence(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(shape[0]) % 3
    centres = rng.normal(size=(3, shape[1]))
    features = centres[labels] + 0.8 * rng.normal(size=shape)
    assert logme(features, labels) == pytest.approx(by_force(features, labels), abs=1e-4)


def test_features_that_tell_classes_apart_score_more() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    noise, centres = rng.normal(size=(200, 16)), rng.normal(size=(4, 16))
    scores = [logme(noise + scale * centres[labels], labels) for scale in (0.0, 0.5, 1.0, 2.0)]
    assert scores == sorted(scores)
    assert scores[-1] > scores[0] + 0.1
    blank = logme(0 * noise, labels)  # y is noise alone: N(0, mean y^2), of which each class is a quarter
    assert blank == pytest.approx(-0.5 * np.log(2 * np.pi * 0.25) - 0.5)
    assert scores[0] == pytest.approx(blank, abs=0.15)
    with pytest.raises(ValueError, match="One class"):
        logme(noise, np.zeros(200))


class Sample(SimpleNamespace):
    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)


def test_boxes_and_labels_are_averaged_over_each_map() -> None:
    size = (64, 96)
    fine, coarse = torch.zeros(1, 2, 16, 24), torch.zeros(1, 3, 4, 6)
    fine[..., 4:8, 8:16] = 1.0  # pixels 16..32, 32..64
    coarse[..., 1, 2:4] = 5.0
    boxes = torch.tensor([[32.0, 16.0, 64.0, 32.0], [0.0, 40.0, 16.0, 60.0]])
    sample = Sample(gt_instances=SimpleNamespace(bboxes=boxes, labels=torch.tensor([3, 1])))
    labels, (first, second) = regions([fine, coarse], sample, size)
    assert labels.tolist() == [3, 1]
    assert first.shape == (2, 2)
    assert second.shape == (2, 3)
    assert first[0].mean() > 0.85  # RoIAlign blends at the border
    assert first[1].abs().max() == 0
    label = torch.zeros(1, 60, 96, dtype=torch.long)
    label[0, 16:32, 32:64] = 7
    label[0, 50:, :] = 255
    seen = Sample(gt_sem_seg=SimpleNamespace(data=label))
    classes, (first, second) = regions([fine, coarse], seen, size)
    assert classes.tolist() == [0, 7]  # neither 255 nor the padding
    assert first[1].tolist() == pytest.approx([1.0, 1.0])
    assert second[1].tolist() == pytest.approx([5.0] * 3)
    assert first[0].abs().max() == second[0].abs().max() == 0
