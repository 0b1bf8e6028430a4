"""Cross-sections of layered needles, as electron tomography sees them."""

import math

import numpy as np

from microlocal.core.registry import register
from microlocal.data.objects.base import Shape
from microlocal.data.objects.positive import Canvas
from microlocal.data.outlines import OUTLINES, blob, placed, rounded
from microlocal.data.polygon import Polygon


@register("objects", "needle")
def needle(draw: np.random.Generator, radius: float) -> list[Shape]:
    """A rounded body of one to five shells with inclusions and layers, each of its own density, in vacuum."""
    body = radius * draw.uniform(0.3, 0.85)
    direction, away = draw.uniform(0, 2 * math.pi), draw.uniform(0, 0.9 * radius - body)
    at = (away * math.cos(direction), away * math.sin(direction))
    outline = blob(draw, draw.uniform(0.02, 0.2), 6, 160) if draw.random() < 0.75 else rounded(draw)
    turn, stretch, size = draw.uniform(0, 2 * math.pi), draw.uniform(0.5, 1.0), body
    canvas = Canvas(radius)
    for layer in range(int(draw.integers(1, 6))):
        points, normals = placed(outline, size, turn, at, stretch)
        slope = draw.uniform(-0.3, 0.3, 2) / size * (draw.random() < 0.4)
        value = 1.0 if layer == 0 else draw.uniform(-0.9, 1.2)
        canvas.add(Polygon(value, points, slope=(slope[0], slope[1]), normals=normals))
        size *= draw.uniform(0.55, 0.93)
    for _ in range(int(draw.integers(0, 6))):
        canvas.add(_inclusion(draw, body * stretch, at))
    return canvas.finished()


def _inclusion(draw: np.random.Generator, reach: float, at: tuple[float, float]) -> Polygon:
    """Draw a grain, pore or layer within the body."""
    angle, away = draw.uniform(0, 2 * math.pi), reach * draw.uniform(0, 0.5)
    place = (at[0] + away * math.cos(angle), at[1] + away * math.sin(angle))
    outline = OUTLINES[int(draw.integers(0, 5))](draw)
    points, normals = placed(outline, reach * draw.uniform(0.04, 0.25), draw.uniform(0, 6.3), place)
    return Polygon(draw.uniform(-0.9, 1.0), points, normals=normals)
