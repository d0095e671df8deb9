"""LogME: how well features tell classes apart, without training anything (arXiv 2102.11005)."""

from __future__ import annotations

import numpy as np

_STEPS, _TOLERANCE = 1000, 1e-8
_TINY = 1e-12


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """The logarithm of the largest evidence of a linear model, per sample, mean over the classes.

    Of each class the model is y = F w + noise with y 1 for its samples and 0 for others, w ~ N(0, 1/a) and
    noise ~ N(0, 1/b); a and b are those of the largest evidence p(y | F, a, b). More is better.

    Args:
        features: (samples, channels).
        labels: (samples,) class of each.

    Raises:
        ValueError: fewer than two classes.
    """
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError("One class alone says nothing of features.")
    left, singular, _ = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    targets = (labels[:, None] == classes).astype(np.float64)
    values = [
        _largest_evidence(singular**2, left.T @ y, float(y @ y), features.shape[1], len(y)) for y in targets.T
    ]
    return float(np.mean(values))


def _largest_evidence(
    squares: np.ndarray, along: np.ndarray, length: float, channels: int, samples: int
) -> float:
    """The largest log evidence per sample, by the fixed point of its derivatives in a and b.

    Args:
        squares: (rank,) squared singular values of the features.
        along: (rank,) the target in the left singular vectors.
        length: squared length of the target.
        channels: of a sample.
        samples: how many.
    """
    a, b = 1.0, 1.0
    outside = max(length - float(along @ along), 0.0)
    weights, rest = _parts(squares, along, outside, a / b)
    for _ in range(_STEPS):
        before = a / b
        used = float(np.sum(squares / (squares + before)))  # effective number of weights
        a = max(used, _TINY) / max(weights, _TINY)
        b = max(samples - used, _TINY) / max(rest, _TINY)
        weights, rest = _parts(squares, along, outside, a / b)
        if abs(a / b - before) <= _TOLERANCE * before:
            break
    spread = float(np.sum(np.log(a + b * squares))) + (channels - len(squares)) * np.log(a)
    logarithms = channels * np.log(a) + samples * np.log(b) - spread - samples * np.log(2 * np.pi)
    return float(0.5 * (logarithms - b * rest - a * weights) / samples)


def _parts(squares: np.ndarray, along: np.ndarray, outside: float, ratio: float) -> tuple[float, float]:
    """|w|^2 of the posterior's mean and |y - F w|^2, where a is ``ratio`` times b."""
    shrunk = squares + ratio
    weights = float(np.sum(squares * along**2 / shrunk**2))
    return weights, float(np.sum((ratio * along / shrunk) ** 2)) + outside
