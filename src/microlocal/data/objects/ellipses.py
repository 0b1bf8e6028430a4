"""Superposed random ellipses of varying contrast, as Learn the Invisible was trained on."""

import math

import numpy as np

from microlocal.core.registry import register
from microlocal.data.objects.base import trials
from microlocal.data.objects.positive import Canvas
from microlocal.data.phantoms import Ellipse


@register("objects", "ellipses", samples=lambda: trials("ellipses"), reference="bubba2019")
def ellipses(draw: np.random.Generator, radius: float) -> list[Ellipse]:
    """Superposed random ellipses of varying contrast inside a circle; densities from 0 to 1."""
    canvas = Canvas(radius)
    for _ in range(int(draw.integers(5, 31))):
        major = radius * draw.uniform(0.04, 0.5)
        minor = major * draw.uniform(0.25, 1.0)
        distance, direction = (0.95 * radius - major) * math.sqrt(draw.random()), draw.uniform(0, 2 * math.pi)
        center = (distance * math.cos(direction), distance * math.sin(direction))
        canvas.add(Ellipse(draw.uniform(-1, 1), (major, minor), center, draw.uniform(0, math.pi)))
    return [shape for shape in canvas.finished() if isinstance(shape, Ellipse)]
