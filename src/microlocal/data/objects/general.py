"""A mixture of everything, so that what is trained on it serves images in general."""

import math

import numpy as np

from microlocal.core.registry import register
from microlocal.data.objects.base import Shape, trials
from microlocal.data.objects.positive import Canvas
from microlocal.data.outlines import OUTLINES, blob, placed, wave
from microlocal.data.phantoms import Ellipse
from microlocal.data.polygon import Polygon


@register("objects", "general", samples=lambda: trials("general"))
def general(draw: np.random.Generator, radius: float) -> list[Shape]:
    """Ellipses, bumps, polygons, splines, ramps, textures, stripes, thin curves and bright points; from 0 to 1."""
    canvas = Canvas(radius)
    makers = (_ellipse, _bump, _polygon, _textured, _stripes, _curve, _point)
    if draw.random() < 0.6:
        points, normals = placed(blob(draw, draw.uniform(0, 0.3)), radius * draw.uniform(0.6, 0.9), 0.0, (0.0, 0.0))
        canvas.add(Polygon(draw.uniform(0.2, 0.6), points, normals=normals))
    for _ in range(int(draw.integers(4, 25))):
        size = radius * math.exp(draw.uniform(math.log(0.04), math.log(0.45)))
        angle, away = draw.uniform(0, 2 * math.pi), (0.93 * radius - size) * math.sqrt(draw.random())
        at = (away * math.cos(angle), away * math.sin(angle))
        for shape in makers[int(draw.choice(7, p=(0.2, 0.1, 0.3, 0.12, 0.08, 0.12, 0.08)))](draw, size, at):
            canvas.add(shape)
    return canvas.finished()


def _ellipse(draw: np.random.Generator, size: float, at: tuple[float, float]) -> list[Shape]:
    return [Ellipse(draw.uniform(-1, 1), (size, size * draw.uniform(0.25, 1)), at, draw.uniform(0, math.pi))]


def _bump(draw: np.random.Generator, size: float, at: tuple[float, float]) -> list[Shape]:
    axes = (size, size * draw.uniform(0.3, 1))
    return [Ellipse(draw.uniform(-0.8, 1), axes, at, draw.uniform(0, math.pi), power=draw.uniform(0.5, 3))]


def _polygon(draw: np.random.Generator, size: float, at: tuple[float, float]) -> list[Shape]:
    """A polygon or spline, often with a ramp."""
    points, normals = placed(OUTLINES[int(draw.integers(len(OUTLINES)))](draw), size, draw.uniform(0, 6.3), at)
    value = draw.uniform(-1, 1)
    slope = draw.uniform(-0.6, 0.6, 2) * value / size * (draw.random() < 0.4)
    return [Polygon(value, points, slope=(slope[0], slope[1]), normals=normals)]


def _textured(draw: np.random.Generator, size: float, at: tuple[float, float]) -> list[Shape]:
    """A region with a random field of a dozen waves of lengths from a tenth of its size."""
    points, normals = placed(blob(draw), size, draw.uniform(0, 6.3), at)
    angle, length = draw.uniform(0, 2 * math.pi, 12), size * draw.uniform(0.1, 0.8, 12)
    number = 2 * math.pi / length
    value = draw.uniform(0.2, 0.8)
    height = value * draw.uniform(0.02, 0.16, 12)
    waves = np.stack((number * np.cos(angle), number * np.sin(angle), draw.uniform(0, 6.3, 12), height), axis=1)
    return [Polygon(value, points, waves=waves, normals=normals)]


def _stripes(draw: np.random.Generator, size: float, at: tuple[float, float]) -> list[Shape]:
    """Three to eight parallel bars."""
    count, turn, value = int(draw.integers(3, 9)), draw.uniform(0, math.pi), draw.uniform(-1, 1)
    bar = np.array([[-1, -0.4 / count], [1, -0.4 / count], [1, 0.4 / count], [-1, 0.4 / count]]) * 0.7
    offsets = 0.7 * (2 * np.arange(count) + 1 - count) / count
    return [Polygon(value, placed((bar + np.array([0.0, y]), None), size, turn, at)[0]) for y in offsets]


def _curve(draw: np.random.Generator, size: float, at: tuple[float, float]) -> list[Shape]:
    return [Polygon(draw.uniform(0.4, 1), placed(wave(draw), size, draw.uniform(0, 6.3), at)[0])]


def _point(draw: np.random.Generator, size: float, at: tuple[float, float]) -> list[Shape]:
    dot = 0.15 * size
    return [Ellipse(draw.uniform(0.4, 1), (dot, dot), at)]
