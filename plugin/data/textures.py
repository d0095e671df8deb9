"""Colours and patterns: random, but all from the generator that is passed in.

A pattern is an (H, W) array, values about -1 to 1; ``size`` is always (width, height) in pixels.
"""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

Array = np.ndarray
Rng = np.random.Generator


def colour(rng: Rng, saturation: tuple[float, float], value: tuple[float, float]) -> Array:
    """A random (3,) RGB colour with HSV saturation and value in the given ranges."""
    rgb = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(*saturation), rng.uniform(*value))
    return np.array(rgb, np.float32)


def octaves(rng: Rng, size: tuple[int, int], coarsest: int, count: int = 4) -> Array:
    """Smooth noise (H, W), mean 0, largest absolute value 1: octaves of halving cell and amplitude."""
    width, height = size
    total = np.zeros((height, width), np.float32)
    for k in range(count):
        cell = max(2, coarsest >> k)
        grid = rng.standard_normal((height // cell + 3, width // cell + 3)).astype(np.float32)
        grown = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
        total += grown[cell : cell + height, cell : cell + width] / 2**k
    total -= total.mean()
    return total / np.abs(total).max()


def axes(rng: Rng, size: tuple[int, int]) -> tuple[Array, Array]:
    """Two rotated pixel coordinates (H, W)."""
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    angle = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def _stripes(rng: Rng, size: tuple[int, int]) -> Array:
    along, _ = axes(rng, size)
    bend = octaves(rng, size, 64, 2) * rng.uniform(0, 8)
    return np.tanh(3 * np.sin((along + bend) * (2 * np.pi / rng.uniform(9, 36))))


def _checks(rng: Rng, size: tuple[int, int]) -> Array:
    u, v = axes(rng, size)
    k = np.pi / rng.uniform(7, 24)
    return np.tanh(6 * np.sin(u * k) * np.sin(v * k))


def _dots(rng: Rng, size: tuple[int, int]) -> Array:
    u, v = axes(rng, size)
    k = 2 * np.pi / rng.uniform(9, 22)
    return np.tanh(4 * (np.cos(u * k) + np.cos(v * k) - 0.9))


def _grain(rng: Rng, size: tuple[int, int]) -> Array:
    """Wood: stretched noise that bends thin stripes."""
    along, _ = axes(rng, size)
    return np.sin(along * rng.uniform(0.15, 0.4) + 6 * octaves(rng, size, 48, 3))


def _clouds(rng: Rng, size: tuple[int, int]) -> Array:
    return octaves(rng, size, 48, 5)


def _plain(rng: Rng, size: tuple[int, int]) -> Array:
    return np.zeros((size[1], size[0]), np.float32)


GROUNDS = (_clouds, _stripes, _checks, _dots, _grain, _plain)
FILLS = (_plain, _plain, _clouds, _stripes, _dots, _grain)
