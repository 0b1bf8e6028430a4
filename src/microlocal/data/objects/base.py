"""An object made of shapes: its image, its exact sinogram and its wavefront set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from microlocal.core.checks import at_least
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.core.registry import lookup
from microlocal.data.phantoms import Ellipse
from microlocal.data.polygon import Polygon, span

Shape = Ellipse | Polygon
Family = Callable[[np.random.Generator, float], Sequence[Shape]]


@dataclass(frozen=True)
class Boundary:
    """Points of the wavefront set with their directions, all (point,): ``x``, ``y`` in the unit of the object,
    ``normal_rad`` of the outer normal, and ``shape``, the number of the shape whose outline it is."""

    x: Float[np.ndarray, " point"]
    y: Float[np.ndarray, " point"]
    normal_rad: Float[np.ndarray, " point"]
    shape: Float[np.ndarray, " point"]


@dataclass(frozen=True)
class Object:
    """A sum of shapes; ``name`` is its family."""

    shapes: tuple[Shape, ...]
    name: str = ""

    def image(self, grid: Grid, oversampling: int = 4) -> Float[np.ndarray, "row col"]:
        """Return the mean density of every pixel (float64); ellipses from ``oversampling``² points at their rims."""
        at_least(oversampling, 1, "oversampling", "Object.image")
        total = np.zeros(grid.shape)
        for shape in self.shapes:
            if isinstance(shape, Polygon):
                shape.add_to(total, grid, oversampling)
            else:
                _add_ellipse(total, shape, grid, oversampling)
        return total

    def sinogram(self, geometry: Geometry, subrays: int = 1) -> Float[np.ndarray, "angle detector"]:
        """Return the exact line integrals, each the mean over ``subrays`` places of its detector pixel (float64)."""
        at_least(subrays, 1, "subrays", "Object.sinogram")
        total = np.zeros(geometry.shape)
        for inner in ((np.arange(subrays) + 0.5) / subrays - 0.5) * geometry.detector.pitch:
            phi, s = geometry.lines_at(geometry.angles[:, None], geometry.detector.positions()[None, :] + inner)
            for shape in self.shapes:
                total += shape.line_integral(phi, s)
        return total / subrays

    def singularities(self, count: int) -> Boundary:
        """Return about ``count`` points of each outline, with the exact outer normals.

        All of them belong to the wavefront set unless outlines of opposite jump coincide; corners are left out.
        """
        found = [_boundary(shape, at_least(count, 1, "count", "Object.singularities")) for shape in self.shapes]
        points, normals = (np.concatenate(parts) for parts in zip(*found, strict=True))
        owner = np.repeat(np.arange(len(found)), [len(p) for p, _ in found])
        return Boundary(points[:, 0], points[:, 1], np.arctan2(normals[:, 1], normals[:, 0]), owner)

    @property
    def corners(self) -> Float[np.ndarray, "corner 2"]:
        """The corners of all outlines (x, y), at which every direction is singular."""
        return np.concatenate([np.zeros((0, 2)), *(s.corners for s in self.shapes if isinstance(s, Polygon))])

    def scaled(self, factor: float) -> "Object":
        """Return the object with all densities times ``factor``."""
        return replace(self, shapes=tuple(scaled(shape, factor) for shape in self.shapes))


def random_object(name: str, draw: np.random.Generator, grid: Grid) -> Object:
    """Return a random member of the family ``name`` that fits into ``grid``: a function of ``draw`` alone.

    Raises UnknownNameError listing the families.

    >>> grid = Grid((32, 32), 1.0)
    >>> random_object("ellipses", np.random.default_rng(0), grid).image(grid).shape
    (32, 32)
    """
    family: Family = lookup("objects", name, "random_object").member
    shapes = family(draw, min(grid.shape) * grid.pixel / 2)
    return Object(tuple(moved(shape, grid.center) for shape in shapes), name)


def trials(name: str) -> list[Object]:
    """Return two members of a family, in a square of half-side 2, for the laws."""
    return [random_object(name, np.random.default_rng(seed), Grid((4, 4), 1.0)) for seed in (0, 1)]


def scaled(shape: Shape, factor: float) -> Shape:
    """Return the shape with its density times ``factor``."""
    if isinstance(shape, Ellipse):
        return replace(shape, value=shape.value * factor)
    slope = (shape.slope[0] * factor, shape.slope[1] * factor)
    return replace(shape, value=shape.value * factor, slope=slope, waves=shape.waves * (1, 1, 1, factor))


def moved(shape: Shape, by: tuple[float, float]) -> Shape:
    """Return the shape moved by (x, y)."""
    if isinstance(shape, Ellipse):
        return replace(shape, center=(shape.center[0] + by[0], shape.center[1] + by[1]))
    return replace(shape, vertices=shape.vertices + by)


def _boundary(shape: Shape, count: int) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(shape, Polygon):
        return shape.boundary(count)
    t = 2 * np.pi * (np.arange(count) + 0.5) / count
    (a, b), cos, sin = shape.semi_axes, np.cos(shape.angle_rad), np.sin(shape.angle_rad)
    turn = np.array([[cos, sin], [-sin, cos]])
    points = np.stack((a * np.cos(t), b * np.sin(t)), axis=1) @ turn + shape.center
    normals = np.stack((b * np.cos(t), a * np.sin(t)), axis=1) @ turn
    return points, normals / np.hypot(*normals.T)[:, None]


def _add_ellipse(total: np.ndarray, ellipse: Ellipse, grid: Grid, oversampling: int) -> None:
    """Add the mean density: one point a pixel where it is smooth, oversampling² where the rim passes."""
    left, _, _, top = grid.extent
    (a, b), angle, p = ellipse.semi_axes, ellipse.angle_rad, grid.pixel
    half = (np.hypot(a * np.cos(angle), b * np.sin(angle)), np.hypot(a * np.sin(angle), b * np.cos(angle)))
    cols = span((ellipse.center[0] + np.array([-1, 1]) * half[0] - left) / p, grid.shape[1])
    rows = span((top - ellipse.center[1] + np.array([-1, 1]) * half[1]) / p, grid.shape[0])
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return
    x, y = grid.coordinates()
    x, y = np.broadcast_arrays(x[None, cols], y[rows, None])
    part = ellipse.density(x, y)
    radius = np.sqrt(np.clip(1 - replace(ellipse, value=1.0, power=1.0).density(x, y), 0, None))
    outer = replace(ellipse, semi_axes=(a + p, b + p)).density(x, y) != 0
    # A pixel reaches p/√2 from its centre, and the elliptical radius grows by at most 1/min(a, b) a length.
    rim = outer & (radius > 1 - 0.71 * p / min(a, b)) if ellipse.power < 1 else outer & (min(a, b) < 4 * p)
    inner = ((np.arange(oversampling) + 0.5) / oversampling - 0.5) * p
    points = ellipse.density(x[rim][:, None, None] + inner, y[rim][:, None, None] + inner[:, None])
    part[rim] = points.mean((1, 2))
    total[rows, cols] += part
