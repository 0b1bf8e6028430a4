"""Phantoms whose line integrals are known in closed form: sums of ellipses with a power-law bump inside.

With r the elliptical radius of an ellipse of semi-axes a, b, rotated by α about its centre c, the density is
v (1 - r²)^k inside and 0 outside. Its integral over the line (φ, s) = {x cos φ + y sin φ = s} is

    v (a b / A) √π Γ(k+1)/Γ(k+3/2) (1 - (s - c·n)²/A²)^(k+1/2),   A² = a² cos²(φ-α) + b² sin²(φ-α),  n = (cos φ, sin φ)

so k = 0 is the plain ellipse (chord length 2ab √(A² - s²)/A²) and k = 3 a bump with two continuous derivatives.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from microlocal.core.checks import at_least, finite_number, point, positive
from microlocal.core.errors import InputError
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.core.registry import register


@dataclass(frozen=True)
class Ellipse:
    """Density ``value`` (1 - r²)^``power`` inside an ellipse, in 1/unit.

    Parameters: ``semi_axes`` (a, b) and ``center`` (x, y) in the geometry's unit, x right and y up; ``angle_rad``, the
    counter-clockwise angle of the a-axis; ``power`` k >= 0, not necessarily an integer. Raises InputError for
    numbers that no ellipse has.
    """

    value: float
    semi_axes: tuple[float, float]
    center: tuple[float, float] = (0.0, 0.0)
    angle_rad: float = 0.0
    power: float = 0.0

    def __post_init__(self) -> None:
        for name, axes in (("semi_axes", "a, b"), ("center", "x, y")):
            object.__setattr__(self, name, point(getattr(self, name), axes, name, "Ellipse"))
        for name in ("value", "angle_rad"):
            finite_number(getattr(self, name), name, "Ellipse")
        positive(min(self.semi_axes), "semi-axis", "Ellipse")
        if not (math.isfinite(self.power) and self.power >= 0):
            raise InputError("Ellipse", expected="power >= 0", got=f"{self.power}", do="Give a smoothness k >= 0.")

    def line_integral(self, phi: NDArray[np.float64], s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the exact integral over each line (φ radians, s length); dimensionless, shape of the inputs."""
        (a, b), (x, y) = self.semi_axes, self.center
        width_squared = (a * np.cos(phi - self.angle_rad)) ** 2 + (b * np.sin(phi - self.angle_rad)) ** 2
        distance = s - x * np.cos(phi) - y * np.sin(phi)
        inside = np.clip(1 - distance**2 / width_squared, 0, None)
        beta = math.sqrt(math.pi) * math.gamma(self.power + 1) / math.gamma(self.power + 1.5)
        return self.value * a * b * beta / np.sqrt(width_squared) * inside ** (self.power + 0.5)

    def density(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the density at points (x, y), broadcast together."""
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        dx, dy = x - self.center[0], y - self.center[1]
        along, across = (dx * cos + dy * sin) / self.semi_axes[0], (dy * cos - dx * sin) / self.semi_axes[1]
        inside = 1 - along**2 - across**2
        return np.where(inside > 0, self.value * np.clip(inside, 0, None) ** self.power, 0.0)


def sinogram(shapes: Sequence[Ellipse], geometry: Geometry) -> Float[np.ndarray, "angle detector"]:
    """Return the exact line integrals of the sum of ``shapes`` along the rays of ``geometry`` (float64).

    Raises InputError for a geometry of volumes.

    >>> from microlocal.core.geometry import Detector, ParallelBeam
    >>> sinogram([Ellipse(2.0, (3.0, 3.0))], ParallelBeam((0.0,), Detector(1, 1.0))).round(9).tolist()
    [[12.0]]
    """
    if not isinstance(geometry, Geometry):
        do = "Ellipsoids and phantoms3d.projections are for volumes."
        raise InputError("phantoms.sinogram", expected="a planar geometry", got=type(geometry).__name__, do=do)
    phi, s = geometry.lines()
    total = np.zeros(geometry.shape)
    for shape in shapes:
        total += shape.line_integral(phi, s)
    return total


def image(shapes: Sequence[Ellipse], grid: Grid, oversampling: int = 8) -> Float[np.ndarray, "row col"]:
    """Return the mean density in every pixel from ``oversampling``² points a pixel (float64).

    >>> image([Ellipse(1.0, (9.0, 9.0))], Grid((1, 2), 1.0)).tolist()
    [[1.0, 1.0]]
    """
    at_least(oversampling, 1, "oversampling", "phantoms.image")
    x, y = grid.coordinates()
    inner = ((np.arange(oversampling) + 0.5) / oversampling - 0.5) * grid.pixel
    total = np.zeros(grid.shape)
    for dy in inner:
        for dx in inner:
            for shape in shapes:
                total += shape.density((x + dx)[None, :], (y + dy)[:, None])
    return total / oversampling**2


@register("phantom", "shepp-logan", reference="kak1988")
def shepp_logan(radius: float = 1.0) -> tuple[Ellipse, ...]:
    """The Shepp-Logan head with Toft's contrast, inside a circle of ``radius``."""
    return tuple(
        Ellipse(value, (a * radius, b * radius), (x * radius, y * radius), math.radians(degrees))
        for value, a, b, x, y, degrees in _HEAD
    )


# Columns: value, semi-axes, centre, angle in degrees (P. Toft, The Radon Transform, DTU 1996, table B.3).
_HEAD = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


@register("phantom", "smooth-bump")
def smooth_bump(radius: float = 1.0) -> tuple[Ellipse, ...]:
    """An off-centre bump (1 - r²)³ with two continuous derivatives: it shows the order of a projector."""
    return (Ellipse(1.0, (0.7 * radius, 0.5 * radius), (0.15 * radius, -0.1 * radius), 0.4, power=3.0),)


@register("phantom", "disc-with-holes", reference="meaney2022")
def disc_with_holes(radius: float = 35.0, value: float = 0.05, holes: int = 7, seed: int = 0) -> tuple[Ellipse, ...]:
    """A homogeneous disc with elliptical holes, of the kind that the Helsinki challenge scanned.

    Holes keep clear of each other and of the rim. Parameters: ``radius`` (length), ``value`` (1/length), ``holes``,
    how many, ``seed``. Raises InputError when so many holes do not fit.
    """
    draw = np.random.default_rng(seed)
    disc = Ellipse(value, (radius, radius))
    cut: list[Ellipse] = []
    for _ in range(1000 * (holes + 1)):
        if len(cut) == holes:
            return (disc, *cut)
        hole = _random_hole(draw, radius, value)
        if all(_apart(hole, other, 0.04 * radius) for other in cut):
            cut.append(hole)
    raise InputError("disc_with_holes", expected=f"room for {holes} holes", got=f"{len(cut)}", do="Ask for fewer.")


def _random_hole(draw: np.random.Generator, radius: float, value: float) -> Ellipse:
    """Draw a hole that stays 6 % of the radius away from the rim."""
    major = float(draw.uniform(0.06, 0.22)) * radius
    minor = float(draw.uniform(0.4, 1.0)) * major
    reach = 0.94 * radius - major
    distance, direction = reach * math.sqrt(float(draw.uniform())), float(draw.uniform(0, 2 * math.pi))
    center = (distance * math.cos(direction), distance * math.sin(direction))
    return Ellipse(-value, (major, minor), center, float(draw.uniform(0, math.pi)))


def _apart(one: Ellipse, other: Ellipse, gap: float) -> bool:
    """Whether the circles around two ellipses keep a gap."""
    return math.dist(one.center, other.center) >= max(one.semi_axes) + max(other.semi_axes) + gap


def moved(shapes: Sequence[Ellipse], by: tuple[float, float]) -> tuple[Ellipse, ...]:
    """Return the shapes moved by (x, y)."""
    return tuple(replace(e, center=(e.center[0] + by[0], e.center[1] + by[1])) for e in shapes)
