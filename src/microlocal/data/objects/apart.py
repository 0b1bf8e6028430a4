"""Objects for measuring what finds edges: their wavefront sets are known exactly, and which singularity is meant is not
in doubt.

Parallelograms and splines keep apart from each other, and the density inside varies, and with it the step along the
outline; it is nowhere below a quarter. Ellipses and parallelograms on top of each other are what DeNSE was trained on:
the wavefront set of a sum is the union, since steps do not cancel where outlines cross.
"""

import math
from collections.abc import Callable

import numpy as np

from microlocal.core.registry import register
from microlocal.data.objects.base import Shape, trials
from microlocal.data.objects.positive import Canvas
from microlocal.data.outlines import Draw, Outline, parallelogram, placed, spline
from microlocal.data.phantoms import Ellipse
from microlocal.data.polygon import Polygon

SMALLEST, LARGEST, GAP = 0.1, 0.31, 0.08  # in parts of the half-side of the field: of 256 pixels 13, 40 and 10
TRIES = 100


@register("objects", "parallelograms", samples=lambda: trials("parallelograms"), reference="andrade2019")
def parallelograms(draw: np.random.Generator, radius: float) -> list[Shape]:
    """Parallelograms that keep apart, of varying density; steps from 0.25 to 1.35."""
    return _apart(draw, radius, parallelogram)


@register("objects", "splines", samples=lambda: trials("splines"), reference="andrade2019")
def splines(draw: np.random.Generator, radius: float) -> list[Shape]:
    """Smooth closed curves that keep apart, of varying density; steps from 0.25 to 1.35."""
    return _apart(draw, radius, spline)


@register("objects", "overlapping", samples=lambda: trials("overlapping"), reference="andrade2019")
def overlapping(draw: np.random.Generator, radius: float) -> list[Shape]:
    """A sum of twelve to twenty ellipses and parallelograms of densities 0.2 to 1, divided by its greatest value."""
    canvas = Canvas(radius)
    for _ in range(int(draw.integers(12, 21))):
        size, value = radius * draw.uniform(0.04, 0.33), draw.uniform(0.2, 1.0)
        turn, direction = draw.uniform(0, 2 * math.pi, 2)
        away = (0.95 * radius - size) * math.sqrt(draw.random())
        at = (away * math.cos(direction), away * math.sin(direction))
        if draw.random() < 0.5:
            canvas.add(Ellipse(value, (size, size * draw.uniform(1 / 3, 1.0)), at, turn))
        else:
            canvas.add(Polygon(value, placed(parallelogram(draw), size, turn, at)[0]))
    return canvas.finished()


def _apart(draw: Draw, radius: float, outline: Callable[[Draw], Outline]) -> list[Shape]:
    """Draw shapes whose circles keep a gap between them and to the border."""
    found: list[Shape] = []
    circles: list[tuple[float, float, float]] = []
    for _ in range(TRIES):
        size = radius * draw.uniform(SMALLEST, LARGEST)
        x, y = draw.uniform(-1, 1, 2) * (radius * (1 - GAP) - size)
        if all(math.hypot(x - other[0], y - other[1]) > size + other[2] + GAP * radius for other in circles):
            circles.append((x, y, size))
            found.append(_varying(draw, placed(outline(draw), size, draw.uniform(0, 2 * math.pi), (x, y)), size))
    return found


def _varying(draw: Draw, outline: Outline, size: float) -> Polygon:
    """Return the outline filled with a density of 0.5 to 0.9, a ramp and two waves: half to three halves of it."""
    value = draw.uniform(0.5, 0.9)
    steep, way = 0.25 * value / size * draw.random(), draw.uniform(0, 2 * math.pi)
    number, turn = 2 * math.pi / (size * draw.uniform(1, 3, 2)), draw.uniform(0, 2 * math.pi, 2)
    height = np.full(2, 0.1 * value)
    waves = np.stack((number * np.cos(turn), number * np.sin(turn), draw.uniform(0, 2 * math.pi, 2), height), axis=1)
    return Polygon(
        value, outline[0], slope=(steep * math.cos(way), steep * math.sin(way)), waves=waves, normals=outline[1]
    )
