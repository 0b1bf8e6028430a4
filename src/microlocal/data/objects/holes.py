"""A homogeneous disc with holes of many shapes, of the kind that the Helsinki challenge scanned."""

import math

import numpy as np
from scipy.spatial.distance import cdist

from microlocal.core.registry import register
from microlocal.data.objects.base import Shape, trials
from microlocal.data.outlines import OUTLINES, placed, wave
from microlocal.data.phantoms import Ellipse
from microlocal.data.polygon import Polygon

CUT = tuple(outline for outline in OUTLINES if outline is not wave)  # lines are too thin to be cut
HALF_FIELD = 38.0  # mm: half the side of a Helsinki image; lengths below are for a field of this size


@register("objects", "disc-with-holes", samples=lambda: trials("disc-with-holes"), reference="meaney2022")
def disc_with_holes(draw: np.random.Generator, radius: float) -> list[Shape]:
    """A homogeneous disc with 1 to 20 holes of many shapes, 2 to 20 mm large, at least 1 mm apart; density 1."""
    mm = radius / HALF_FIELD
    disc = draw.uniform(34.0, 35.5) * mm
    turn = draw.uniform(0, 2 * math.pi)
    away = min(draw.uniform(0, 3) * mm, 0.99 * radius - disc)
    center = (away * math.cos(turn), away * math.sin(turn))
    largest = draw.uniform(3, 11)  # the scale of the holes differs from object to object
    kinds = draw.choice(len(CUT) + 2, size=int(draw.integers(1, 5)))
    wanted, gap = int(draw.integers(1, 21)), draw.uniform(1, 2) * mm
    outlines: list[np.ndarray] = []
    holes: list[Shape] = []
    for _ in range(6 * wanted):
        hole = _hole(draw, int(draw.choice(kinds)), draw.uniform(max(1.5, 0.5 * largest), largest) * mm, disc, center)
        outline = _dense(hole, gap / 2)
        inside = np.hypot(*(outline - center).T).max() < disc - gap
        if len(holes) < wanted and inside and all(_apart(outline, other, gap) for other in outlines):
            holes.append(hole)
            outlines.append(outline)
    return [Ellipse(1.0, (disc, disc), center), *holes]


def _hole(draw: np.random.Generator, kind: int, size: float, disc: float, center: tuple[float, float]) -> Shape:
    """Draw one hole of a kind, its middle anywhere in the disc."""
    distance, direction, turn = (disc - 0.6 * size) * math.sqrt(draw.random()), *draw.uniform(0, 2 * math.pi, 2)
    at = (center[0] + distance * math.cos(direction), center[1] + distance * math.sin(direction))
    if kind >= len(CUT):  # circles, and ellipses
        flat = 1.0 if kind == len(CUT) else draw.uniform(0.3, 1.0)
        return Ellipse(-1.0, (size, flat * size), at, turn)
    points, normals = placed(CUT[kind](draw), size, turn, at, draw.uniform(0.6, 1.0))
    return Polygon(-1.0, points, normals=normals)


def _dense(shape: Shape, step: float) -> np.ndarray:
    """Return points of the outline no more than ``step`` apart."""
    if isinstance(shape, Ellipse):
        (a, b), count = shape.semi_axes, math.ceil(2 * math.pi * max(shape.semi_axes) / step)
        t = np.linspace(0, 2 * np.pi, max(count, 48), endpoint=False)
        cos, sin = math.cos(shape.angle_rad), math.sin(shape.angle_rad)
        return np.stack((a * np.cos(t), b * np.sin(t)), axis=1) @ np.array([[cos, sin], [-sin, cos]]) + shape.center
    ends = np.roll(shape.vertices, -1, axis=0)
    number = np.ceil(np.hypot(*(ends - shape.vertices).T) / step).astype(int) + 1
    pairs = zip(shape.vertices, ends, number, strict=True)
    return np.concatenate([a + np.linspace(0, 1, n, endpoint=False)[:, None] * (b - a) for a, b, n in pairs])


def _apart(one: np.ndarray, other: np.ndarray, gap: float) -> bool:
    """Whether two outlines keep a gap, and neither lies around the other's middle."""
    middles = math.dist(one.mean(0), other.mean(0))
    distances = [np.hypot(*(p - p.mean(0)).T) for p in (one, other)]
    if middles > distances[0].max() + distances[1].max() + 1.1 * gap:
        return True
    return bool(middles > max(d.min() for d in distances) and cdist(one, other).min() > 1.1 * gap)
