"""Cross-sections of layered needles, as electron tomography sees them."""

import math

import numpy as np

from microlocal.core.registry import register
from microlocal.data.objects.base import Shape, trials
from microlocal.data.objects.positive import Canvas
from microlocal.data.outlines import OUTLINES, blob, placed, rounded
from microlocal.data.phantoms import Ellipse
from microlocal.data.polygon import Polygon


@register("objects", "needle", samples=lambda: trials("needle"))
def needle(draw: np.random.Generator, radius: float) -> list[Shape]:
    """A rounded body of one to five shells with grain, a core and inclusions, each of its own density, in vacuum.

    Half of them are like the needle that comes with the package: as good as round, a tenth to a third of the field,
    shells and inclusions within a quarter of the body's density, its core at most a third darker or brighter.
    """
    mild = draw.random() < 0.5
    body = radius * math.exp(draw.uniform(math.log(0.1 if mild else 0.25), math.log(0.4 if mild else 0.85)))
    direction, away = draw.uniform(0, 2 * math.pi), draw.uniform(0, 0.9 * radius - body)
    at = (away * math.cos(direction), away * math.sin(direction))
    rough = draw.uniform(0.02, 0.08 if mild else 0.2)
    outline = blob(draw, rough, 6, 160) if mild or draw.random() < 0.5 else rounded(draw)
    turn, stretch, size = draw.uniform(0, 2 * math.pi), draw.uniform(0.9 if mild else 0.5, 1.0), body
    contrast = 0.25 if mild else 1.0
    canvas = Canvas(radius)
    for layer in range(int(draw.integers(1, 6))):
        points, normals = placed(outline, size, turn, at, stretch)
        slope = contrast * draw.uniform(-0.3, 0.3, 2) / size * (draw.random() < 0.4)
        value = 1.0 if layer == 0 else contrast * draw.uniform(-0.9, 1.0)
        waves = _grain(draw, radius) if layer == 0 and draw.random() < 0.7 else np.zeros((0, 4))
        canvas.add(Polygon(value, points, slope=(slope[0], slope[1]), waves=waves, normals=normals))
        size *= draw.uniform(0.55, 0.93)
    if draw.random() < 0.4:  # a density that changes gradually towards the middle
        axes = (0.9 * body * stretch, 0.85 * body * stretch)
        canvas.add(Ellipse(draw.uniform(-0.33, 0.33), axes, at, turn, power=draw.uniform(0.7, 2)))
    for _ in range(int(draw.integers(0, 6))):
        canvas.add(_inclusion(draw, body * stretch, at, contrast))
    return canvas.finished()


def _grain(draw: np.random.Generator, radius: float) -> np.ndarray:
    """Draw a field of sixteen waves, 4 to 16 pixels of 256 long, of standard deviation 0.02 to 0.06."""
    angle, number = draw.uniform(0, 2 * math.pi, 16), 2 * math.pi / (radius * draw.uniform(0.03, 0.125, 16))
    height = np.full(16, draw.uniform(0.02, 0.06) * math.sqrt(2 / 16))
    return np.stack((number * np.cos(angle), number * np.sin(angle), draw.uniform(0, 6.3, 16), height), axis=1)


def _inclusion(draw: np.random.Generator, reach: float, at: tuple[float, float], contrast: float) -> Polygon:
    """Draw a grain, pore or layer within the body."""
    angle, away = draw.uniform(0, 2 * math.pi), reach * draw.uniform(0, 0.5)
    place = (at[0] + away * math.cos(angle), at[1] + away * math.sin(angle))
    outline = OUTLINES[int(draw.integers(0, 5))](draw)
    points, normals = placed(outline, reach * draw.uniform(0.04, 0.25), draw.uniform(0, 6.3), place)
    return Polygon(contrast * draw.uniform(-0.9, 1.0), points, normals=normals)
