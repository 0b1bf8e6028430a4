"""Polygons with constant, linear or wavy density, whose line integrals are exact."""

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from microlocal.core.errors import ShapeError
from microlocal.core.grid import Grid
from microlocal.data import chords

Array = NDArray[np.float64]


def _none() -> Array:
    return np.zeros((0, 4))


@dataclass(frozen=True, eq=False)
class Polygon:
    """Density value + slope·(p - c) + Σ a cos(k·(p - c) + phase) inside a polygon, in 1/unit.

    Where an outline overlaps itself the density counts as often as the outline winds around, in all that is computed.

    Parameters: ``value``; ``vertices``, (vertex, 2) as (x, y), in either sense; ``slope`` (along x, along y), 1/unit²;
    ``waves``, (wave, 4) rows (kx, ky, phase, a); ``normals``, (vertex, 2), the outer unit normals where the vertices
    stand on a smooth curve, else those of the edges count. c is the mean of the vertices. Raises ShapeError.

    >>> square = Polygon(2.0, np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))
    >>> square.line_integral(np.array(0.0), np.array(0.5)).item()
    2.0
    """

    value: float
    vertices: Float[np.ndarray, "vertex 2"]
    slope: tuple[float, float] = (0.0, 0.0)
    waves: Float[np.ndarray, "wave 4"] = field(default_factory=_none)
    normals: Float[np.ndarray, "vertex 2"] | None = None

    def __post_init__(self) -> None:
        points = np.asarray(self.vertices, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            do = "Give at least three points (x, y)."
            raise ShapeError("Polygon", expected="(vertex, 2) [x, y]", got=str(points.shape), do=do)
        if signed_area(points) < 0:  # the integrals want them counter-clockwise
            points = points[::-1]
            object.__setattr__(self, "normals", None if self.normals is None else self.normals[::-1])
        object.__setattr__(self, "vertices", np.ascontiguousarray(points))

    @property
    def center(self) -> Float[np.ndarray, "2"]:
        """The mean of the vertices (x, y)."""
        return self.vertices.mean(0)

    @property
    def corners(self) -> Float[np.ndarray, "corner 2"]:
        """Where the outline has corners (x, y): at all vertices, or nowhere if they stand on a smooth curve.

        Every direction is singular there, not only those between the normals of the two sides: line integrals as a
        function of s have a kink where the line passes a corner, whichever its direction.
        """
        return self.vertices if self.normals is None else self.vertices[:0]

    def line_integral(self, phi: Array, s: Array) -> Array:
        """Return the exact integral over each line (φ radians, s length); shape of the inputs, broadcast."""
        phi, s = np.broadcast_arrays(np.asarray(phi, dtype=np.float64), np.asarray(s, dtype=np.float64))
        x, y = self.center
        distance = s - x * np.cos(phi) - y * np.sin(phi)
        plane = np.array([self.value, *self.slope])
        flat = chords.line_integrals(phi.ravel(), distance.ravel(), self.vertices - self.center, plane, self.waves)
        return flat.reshape(phi.shape)

    def density(self, x: Array, y: Array) -> Array:
        """Return the density at points (x, y), broadcast together."""
        x, y = np.broadcast_arrays(x, y)
        turns = np.zeros(x.shape, dtype=np.int64)
        for (x0, y0), (x1, y1) in zip(np.roll(self.vertices, 1, axis=0), self.vertices, strict=True):
            if y0 != y1:
                crossed = ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
                turns += np.where(crossed, 1 if y1 > y0 else -1, 0)
        return np.where(turns != 0, turns * self.profile(x, y), 0.0)

    def profile(self, x: Array, y: Array) -> Array:
        """Return the density that points (x, y) would have if they were inside."""
        dx, dy = x - self.center[0], y - self.center[1]
        total = self.value + self.slope[0] * dx + self.slope[1] * dy
        for kx, ky, phase, height in self.waves:
            total = total + height * np.cos(kx * dx + ky * dy + phase)
        return total

    def add_to(self, image: Float[np.ndarray, "row col"], grid: Grid, oversampling: int) -> None:
        """Add to ``image`` the mean density of every pixel: the share covered, exact, times the density at its centre.

        Exact for a constant density; ``oversampling`` changes nothing.
        """
        left, _, _, top = grid.extent
        col, row = (self.vertices[:, 0] - left) / grid.pixel, (top - self.vertices[:, 1]) / grid.pixel
        rows, cols = span(row, grid.shape[0]), span(col, grid.shape[1])
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return
        share = chords.coverage(col - cols.start, row - rows.start, rows.stop - rows.start, cols.stop - cols.start)
        x, y = grid.coordinates()
        image[rows, cols] += share * self.profile(x[None, cols], y[rows, None])

    def boundary(self, count: int) -> tuple[Float[np.ndarray, "point 2"], Float[np.ndarray, "point 2"]]:
        """Return about ``count`` points of the outline, evenly spaced, and the outer unit normals there.

        Corners, where every direction is singular, are left out.
        """
        if self.normals is not None:
            chosen = np.unique(np.linspace(0, len(self.vertices), count, endpoint=False).astype(int))
            return self.vertices[chosen], self.normals[chosen]
        edges = np.roll(self.vertices, -1, axis=0) - self.vertices
        lengths = np.hypot(*edges.T)
        number = np.maximum(np.round(count * lengths / lengths.sum()).astype(int), 1)
        edge = np.repeat(np.arange(len(edges)), number)
        within = np.concatenate([(np.arange(n) + 0.5) / n for n in number])
        points = self.vertices[edge] + within[:, None] * edges[edge]
        return points, (np.stack((edges[:, 1], -edges[:, 0]), axis=1) / lengths[:, None])[edge]


def signed_area(points: Float[np.ndarray, "vertex 2"]) -> float:
    """Return the area of a polygon, positive if its vertices run counter-clockwise."""
    x, y = points.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def span(places: Array, size: int) -> slice:
    """Return the pixels of one axis that lie under ``places``, given in pixels from its edge."""
    return slice(max(math.floor(places.min()), 0), min(math.floor(places.max()) + 1, size))
