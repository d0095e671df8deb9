"""Pictures of shapes on textured grounds: outlines, fills, shadows, backgrounds.

Pictures are float32 RGB in 0..1 of shape (H, W, 3); lengths and positions are in pixels. All that
is random comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .textures import FILLS, GROUNDS, Array, Rng, axes, colour, octaves

SUPERSAMPLING = 4  # subpixels per pixel side, for smooth edges


# --- outlines: closed contours around (0, 0) that reach out to radius 1; a second one is a hole


def _ngon(count: int, radius: Array | float = 1.0) -> Array:
    angle = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.reshape(radius, (-1, 1))


def _circle(rng: Rng) -> list[Array]:
    return [_ngon(72)]


def _ring(rng: Rng) -> list[Array]:
    return [_ngon(72), _ngon(72, rng.uniform(0.45, 0.62))]


def _rectangle(rng: Rng) -> list[Array]:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [1.0, rng.uniform(0.5, 1.0)]
    return [corners / np.linalg.norm(corners[0])]


def _triangle(rng: Rng) -> list[Array]:
    corners = _ngon(3) + rng.uniform(-0.12, 0.12, (3, 2))
    corners -= corners.mean(axis=0)
    return [corners / np.linalg.norm(corners, axis=1).max()]


def _star(rng: Rng) -> list[Array]:
    return [_ngon(10, np.tile([1.0, rng.uniform(0.4, 0.5)], 5))]


def _cross(rng: Rng) -> list[Array]:
    arm = rng.uniform(0.28, 0.4)
    quarter_turn = np.array([[0, 1], [-1, 0]])
    quarter = np.array([[1, -arm], [1, arm], [arm, arm]]) / np.hypot(1, arm)
    return [np.concatenate([quarter @ np.linalg.matrix_power(quarter_turn, k) for k in range(4)])]


OUTLINES: dict[str, Callable[[Rng], list[Array]]] = {
    "circle": _circle,
    "rectangle": _rectangle,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}


@dataclass(frozen=True)
class Shape:
    """One shape at its place in a picture.

    Attributes:
        label: index into :data:`OUTLINES`.
        cover: (H, W) float32, the part of each pixel that the shape covers, 0..1.
        area: pixels that the whole shape covers, with what lies outside the picture.
        centre: (x, y).
        radius: largest distance of the outline from the centre.
    """

    label: int
    cover: Array
    area: float
    centre: tuple[float, float]
    radius: float

    @property
    def mask(self) -> Array:
        """(H, W) bool: pixels of which at least half are covered."""
        return self.cover >= 0.5


def place(rng: Rng, label: int, centre: tuple[float, float], radius: float, size: tuple[int, int]) -> Shape:
    """Shape ``label`` of ``radius`` with random rotation and squash; ``size`` is (width, height)."""
    angle, squash = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    contours = [c * [1.0, squash] @ turn * radius for c in list(OUTLINES.values())[label](rng)]

    half = int(np.ceil(radius)) + 1
    left, top = int(np.floor(centre[0])) - half, int(np.floor(centre[1])) - half
    patch = np.zeros((2 * half * SUPERSAMPLING,) * 2, np.uint8)
    corner = np.array([centre[0] - left, centre[1] - top])
    points = [np.round((c + corner) * SUPERSAMPLING - 0.5).astype(np.int32) for c in contours]
    cv2.fillPoly(patch, points, 255)  # even-odd rule: an inner contour is a hole
    patch = cv2.resize(patch, (2 * half, 2 * half), interpolation=cv2.INTER_AREA).astype(np.float32) / 255

    width, height = size
    cover = np.zeros((height, width), np.float32)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + 2 * half, width), min(top + 2 * half, height)
    if x0 < x1 and y0 < y1:
        cover[y0:y1, x0:x1] = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    return Shape(label, cover, float(patch.sum()), centre, radius)


def ground(rng: Rng, size: tuple[int, int]) -> Array:
    """A textured background in muted colours, unevenly lit, with thin lines and specks on it."""
    base = colour(rng, (0.05, 0.4), (0.25, 0.85))
    other = np.clip(base + rng.uniform(-0.22, 0.22, 3).astype(np.float32), 0.05, 0.95)
    pattern = GROUNDS[rng.integers(len(GROUNDS))](rng, size)
    mix = 0.5 + 0.5 * pattern * rng.uniform(0.3, 1.0)
    picture = base + (other - base) * mix[..., None]
    along, _ = axes(rng, size)
    light = (along - along.mean()) / np.ptp(along) * rng.uniform(0, 0.3)
    picture = picture + (light + octaves(rng, size, 32, 4) * rng.uniform(0.02, 0.08))[..., None]
    return _litter(rng, np.clip(picture, 0, 1).astype(np.float32))


def _litter(rng: Rng, picture: Array) -> Array:
    """Distractors that are no objects: lines, arcs and specks."""
    height, width = picture.shape[:2]
    over = picture.copy()
    for _ in range(rng.integers(0, 7)):
        ink = tuple(colour(rng, (0.0, 0.7), (0.1, 1.0)).tolist())
        (x0, y0), (x1, y1) = rng.uniform(0, 1, (2, 2)) * [width, height]
        start, kind = (int(x0 * 16), int(y0 * 16)), rng.integers(3)
        if kind == 0:
            cv2.line(over, start, (int(x1 * 16), int(y1 * 16)), ink, 1, cv2.LINE_AA, 4)
        elif kind == 1:
            radii = (int(x1 * 8) + 64, int(y1 * 8) + 64)
            cv2.ellipse(
                over, start, radii, 0, rng.uniform(0, 360), rng.uniform(0, 360), ink, 1, cv2.LINE_AA, 4
            )
        else:
            cv2.circle(over, start, int(rng.uniform(12, 40)), ink, -1, cv2.LINE_AA, 4)
    return cv2.addWeighted(over, 0.7, picture, 0.3, 0)


def paint(rng: Rng, picture: Array, shape: Shape) -> Array:
    """``picture`` with ``shape`` over it: its shadow, its fill, its light and often a rim."""
    height, width = shape.cover.shape
    behind = picture[shape.mask].mean(axis=0) if shape.mask.any() else picture.mean(axis=(0, 1))
    base = _contrasting(rng, behind)
    fill = FILLS[rng.integers(len(FILLS))](rng, (width, height)) * rng.uniform(0.06, 0.16)
    where = _around(shape.cover)  # what the shape covers; the rest of the picture stays
    y, x = np.mgrid[where].astype(np.float32)
    direction = rng.uniform(0, 2 * np.pi)
    slope = (
        (x - shape.centre[0]) * np.cos(direction) + (y - shape.centre[1]) * np.sin(direction)
    ) / shape.radius
    light = slope * rng.uniform(0.05, 0.2) + fill[where]
    skin = np.clip(base + light[..., None].astype(np.float32), 0, 1)
    if rng.uniform() < 0.5:
        thick = max(1.0, 0.06 * shape.radius)
        inner = cv2.GaussianBlur(shape.cover, (0, 0), thick)
        rim = np.clip(2.2 * (1 - inner[where]), 0, 1)[..., None] * rng.uniform(0.3, 0.7)
        skin = skin * (1 - rim) + rim * (base * rng.choice([0.3, 0.5]))
    painted = _shadow(rng, picture, shape).astype(np.float32, copy=False)
    painted[where] = _blend(painted[where], skin, shape.cover[where])
    return painted


def _around(cover: Array) -> tuple[slice, slice]:
    """Rows and columns from the first to the last pixel that is covered."""
    rows, columns = (np.flatnonzero(cover.any(axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0), slice(0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _contrasting(rng: Rng, behind: Array) -> Array:
    """A vivid colour that is at least 0.35 (Euclidean, RGB) away from what lies behind it."""
    while True:
        found = colour(rng, (0.45, 1.0), (0.45, 1.0))
        if np.linalg.norm(found - behind) >= 0.35:
            return found


def _shadow(rng: Rng, picture: Array, shape: Shape) -> Array:
    drop = rng.uniform(1, 4, 2)
    moved = cv2.warpAffine(
        shape.cover, np.array([[1, 0, drop[0]], [0, 1, drop[1]]], np.float32), shape.cover.shape[::-1]
    )
    return picture * (1 - rng.uniform(0.2, 0.5) * cv2.GaussianBlur(moved, (0, 0), 2.5))[..., None]


def _blend(below: Array, above: Array, cover: Array) -> Array:
    return (below + (above - below) * cover[..., None]).astype(np.float32)


def camera(rng: Rng, picture: Array) -> Array:
    """``picture`` as uint8 after a slight blur and sensor noise."""
    blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.8))
    noise = rng.standard_normal(picture.shape, np.float32) * rng.uniform(0.005, 0.025)
    return np.clip((blurred + noise) * 255 + 0.5, 0, 255).astype(np.uint8)
