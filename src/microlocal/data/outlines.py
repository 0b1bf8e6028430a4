"""Closed outlines about the origin, of half-size about 1: what holes, layers and regions look like.

Each returns (vertices, normals): (vertex, 2) counter-clockwise, and the outer unit normals of a smooth curve, or None
where the outline has corners.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from microlocal.data.polygon import signed_area

Array = NDArray[np.float64]
Outline = tuple[Float[np.ndarray, "vertex 2"], Float[np.ndarray, "vertex 2"] | None]
Draw = np.random.Generator


def blob(draw: Draw, roughness: float = 0.25, modes: int = 5, points: int = 128) -> Outline:
    """A smooth star-shaped curve r(t) = 1 + Σ_m roughness/m (a_m cos mt + b_m sin mt), m = 2..modes."""
    t = 2 * np.pi * np.arange(points) / points
    m = np.arange(2, modes + 1)[:, None]
    a, b = draw.uniform(-1, 1, (2, len(m), 1)) * roughness / m
    radius = np.clip(1 + (a * np.cos(m * t) + b * np.sin(m * t)).sum(0), 0.2, None)
    slope = (m * (b * np.cos(m * t) - a * np.sin(m * t))).sum(0)
    curve = radius * np.stack((np.cos(t), np.sin(t)))
    tangent = slope * np.stack((np.cos(t), np.sin(t))) + radius * np.stack((-np.sin(t), np.cos(t)))
    normal = np.stack((tangent[1], -tangent[0])) / np.hypot(*tangent)
    return curve.T / radius.max(), normal.T


def regular(draw: Draw) -> Outline:
    """A triangle to octagon with sides that differ."""
    corners = int(draw.integers(3, 9))
    t = 2 * np.pi * (np.arange(corners) + draw.uniform(-0.25, 0.25, corners)) / corners
    return np.stack((np.cos(t), np.sin(t)), axis=1), None


def star(draw: Draw) -> Outline:
    """An irregular polygon of 5 to 11 corners at changing distances."""
    corners = int(draw.integers(5, 12))
    t = 2 * np.pi * (np.arange(corners) + draw.uniform(-0.3, 0.3, corners)) / corners
    return draw.uniform(0.45, 1.0, corners)[:, None] * np.stack((np.cos(t), np.sin(t)), axis=1), None


def rectangle(draw: Draw) -> Outline:
    """A rectangle or parallelogram."""
    height, shear = draw.uniform(0.15, 1.0), draw.uniform(-0.4, 0.4) * (draw.random() < 0.3)
    corners = np.array([[-1, -height], [1, -height], [1, height], [-1, height]])
    return 0.8 * (corners + shear * corners[:, ::-1] * (1, 0)), None


def rounded(draw: Draw) -> Outline:
    """A rectangle with rounded corners: |x|^e + |y/h|^e = 1, e = 3..8."""
    t, power, height = 2 * np.pi * np.arange(96) / 96, draw.uniform(3, 8), draw.uniform(0.3, 1.0)
    cos, sin = np.cos(t), np.sin(t)
    x, y = np.sign(cos) * np.abs(cos) ** (2 / power), np.sign(sin) * np.abs(sin) ** (2 / power)
    normal = np.stack((np.sign(x) * np.abs(x) ** (power - 1), np.sign(y) * np.abs(y) ** (power - 1) / height), axis=1)
    return 0.8 * np.stack((x, height * y), axis=1), normal / np.hypot(*normal.T)[:, None]


def cross(draw: Draw) -> Outline:
    """A cross whose four arms differ in length."""
    w, (e, n, o, s) = draw.uniform(0.12, 0.4), draw.uniform(0.6, 1.0, 4)
    right, left = [(w, -w), (e, -w), (e, w), (w, w)], [(-w, w), (-o, w), (-o, -w), (-w, -w)]
    return np.array([*right, (w, n), (-w, n), *left, (-w, -s), (w, -s)]), None


def angle(draw: Draw) -> Outline:
    """An L: two bars that meet."""
    w, h, v = draw.uniform(0.2, 0.6), draw.uniform(0.6, 1.6), draw.uniform(0.6, 1.6)
    return np.array([(0, 0), (h, 0), (h, w), (w, w), (w, v), (0, v)]) - np.array([h, v]) / 2, None


def tee(draw: Draw) -> Outline:
    """A T: a bar on a stem."""
    w, b, v = draw.uniform(0.12, 0.3), draw.uniform(0.5, 0.9), draw.uniform(0.2, 0.5)
    half = np.array([(w, -0.8), (w, 0.8 - v), (b, 0.8 - v), (b, 0.8)])
    return np.concatenate((half, half[::-1] * (-1, 1))), None


def zigzag(draw: Draw) -> Outline:
    """A stroke through three to five points, as in the letters V, N, Z, W."""
    turns = int(draw.integers(3, 6))
    x = np.linspace(-0.8, 0.8, turns)
    y = 0.7 * (-1.0) ** np.arange(turns) * draw.uniform(0.6, 1.0, turns)
    return _stroke(np.stack((x, y), axis=1), draw.uniform(0.08, 0.16)), None


def arc(draw: Draw) -> Outline:
    """A C: part of a ring."""
    t = np.linspace(0, draw.uniform(0.6, 1.75) * np.pi, 48)
    return _stroke(0.8 * np.stack((np.cos(t), np.sin(t)), axis=1), draw.uniform(0.06, 0.2)), None


def spiral(draw: Draw) -> Outline:
    """A spiral of one to two turns and a half, whose arms keep apart."""
    turns = draw.uniform(1.0, 2.5)
    t = np.linspace(0.25, 1, 96)
    winding = 2 * np.pi * turns * t
    width = draw.uniform(0.2, 0.3) / turns * 0.9
    return _stroke(0.9 * t[:, None] * np.stack((np.cos(winding), np.sin(winding)), axis=1), width), None


def wave(draw: Draw) -> Outline:
    """A thin curved line: a stroke along a sine."""
    x = np.linspace(-1, 1, 48)
    y = draw.uniform(0.05, 0.35) * np.sin(draw.uniform(1, 5) * x + draw.uniform(0, 6))
    return _stroke(np.stack((x, y), axis=1), draw.uniform(0.012, 0.04)), None


def spline(draw: Draw, knots: tuple[int, int] = (6, 9), least: float = 0.7, points: int = 1440) -> Outline:
    """A smooth star-shaped curve whose distance from the middle is a periodic cubic spline of the angle."""
    count = int(draw.integers(knots[0], knots[1] + 1))
    at = 2 * np.pi * (np.arange(count + 1) + np.append(draw.uniform(-0.3, 0.3, count), 0.0)) / count
    at[-1] = at[0] + 2 * np.pi
    distance = draw.uniform(least, 1.0, count)
    t = 2 * np.pi * np.arange(points) / points
    r, slope = _periodic(at, distance, t)
    outward, onward = np.stack((np.cos(t), np.sin(t))), np.stack((-np.sin(t), np.cos(t)))
    normal = (r * outward - slope * onward) / np.hypot(r, slope)
    return (r * outward).T / r.max(), normal.T


def _periodic(at: Array, values: Array, t: Array) -> tuple[Array, Array]:
    """Return the periodic cubic spline through ``values`` at ``at[:-1]``, and its slope, at ``t``.

    ``at`` rises and ends one period after it begins. With steps h and second derivatives m,
    h₋ m₋ + 2 (h₋ + h) m + h m₊ = 6 (d - d₋), d being the slopes of the chords.
    """
    count, h = len(values), np.diff(at)
    chord, before, one = (np.roll(values, -1) - values) / h, np.roll(h, 1), np.eye(len(values))
    system = before[:, None] * np.roll(one, -1, axis=1) + 2 * np.diag(before + h) + h[:, None] * np.roll(one, 1, axis=1)
    bend = np.linalg.solve(system, 6 * (chord - np.roll(chord, 1)))
    place = at[0] + (t - at[0]) % (at[-1] - at[0])
    k = np.clip(np.searchsorted(at, place, side="right") - 1, 0, count - 1)
    x, m, change = place - at[k], bend[k], (np.roll(bend, -1) - bend)[k] / h[k]
    first = chord[k] - h[k] * (2 * m + np.roll(bend, -1)[k]) / 6
    return values[k] + x * (first + x * (m / 2 + x * change / 6)), first + x * (m + x * change / 2)


def parallelogram(draw: Draw) -> Outline:
    """A parallelogram with sides of any ratio up to three, and corners of 45 degrees or more."""
    half, corner = draw.uniform(1 / 3, 1.0), draw.uniform(np.pi / 4, 3 * np.pi / 4)
    one, other = np.array([1.0, 0.0]), half * np.array([np.cos(corner), np.sin(corner)])
    corners = np.array([-one - other, one - other, one + other, other - one])
    return corners / np.hypot(*corners.T).max(), None


# What random objects are drawn from: a change here changes every object of every seed.
OUTLINES: tuple[Callable[[Draw], Outline], ...] = (
    blob, regular, star, rectangle, rounded, cross, angle, tee, zigzag, arc, spiral, wave,
)  # fmt: skip


def placed(outline: Outline, size: float, turn_rad: float, at: tuple[float, float], stretch: float = 1.0) -> Outline:
    """Return the outline stretched along y, turned, scaled to half-size ``size`` and moved to ``at``."""
    cos, sin = np.cos(turn_rad), np.sin(turn_rad)
    turn, scale = np.array([[cos, sin], [-sin, cos]]), np.array([1.0, stretch])
    points, normals = outline
    if signed_area(points) < 0:
        points, normals = points[::-1], None if normals is None else normals[::-1]
    if normals is not None:
        normals = normals / scale
        normals = normals / np.hypot(*normals.T)[:, None] @ turn
    return size * points * scale @ turn + at, normals


def _stroke(line: Array, half_width: float) -> Array:
    """Return the outline of a line drawn with a pen: both sides, mitred at the bends."""
    step = np.diff(line, axis=0)
    step /= np.hypot(*step.T)[:, None]
    normal = np.stack((-step[:, 1], step[:, 0]), axis=1)
    both = np.concatenate((normal[:1], normal[1:] + normal[:-1], normal[-1:]))
    both[1:-1] /= (both[1:-1] * normal[1:]).sum(1, keepdims=True)
    return np.concatenate((line - half_width * both, (line + half_width * both)[::-1]))
