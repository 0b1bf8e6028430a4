"""Volume phantoms whose line integrals are known in closed form: sums of ellipsoids with a power-law bump inside.

With M the map that makes the ellipsoid the unit ball, the density is v (1 - |M x|²)^k inside. Along a ray of unit
direction d through p let P = M p, Q = M d and m² = |P|² - (P·Q)²/|Q|² the squared distance from the centre; then

    ∫ = v √π Γ(k+1)/Γ(k+3/2) (1 - m²)^(k+1/2) / |Q|.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from microlocal.core.checks import at_least, finite_number, point, positive
from microlocal.core.errors import InputError
from microlocal.core.geometry3d import Geometry3D
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume import VolumeGrid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ellipsoid:
    """Density ``value`` (1 - r²)^``power`` inside an ellipsoid, in 1/unit.

    Parameters: ``semi_axes`` (a, b, c) and ``center`` (x, y, z) in the geometry's unit; ``angle_rad``, the
    counter-clockwise turn of the a-axis about z, and ``tilt_rad``, the turn about the b-axis that follows it, towards
    -z; ``power`` k >= 0, not necessarily an integer. Raises InputError
    for numbers that no ellipsoid has.
    """

    value: float
    semi_axes: tuple[float, float, float]
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angle_rad: float = 0.0
    tilt_rad: float = 0.0
    power: float = 0.0

    def __post_init__(self) -> None:
        for name, axes in (("semi_axes", "a, b, c"), ("center", "x, y, z")):
            object.__setattr__(self, name, point(getattr(self, name), axes, name, "Ellipsoid"))
        for name in ("value", "angle_rad", "tilt_rad"):
            finite_number(getattr(self, name), name, "Ellipsoid")
        positive(min(self.semi_axes), "semi-axis", "Ellipsoid")
        if not (math.isfinite(self.power) and self.power >= 0):
            raise InputError("Ellipsoid", expected="power >= 0", got=f"{self.power}", do="Give a smoothness k >= 0.")

    def to_ball(self) -> Float[np.ndarray, "3 3"]:
        """Return the matrix M that makes the (centred) ellipsoid the unit ball; its rows are the axes a, b, c."""
        ca, sa, ct, st = (f(a) for a in (self.angle_rad, self.tilt_rad) for f in (math.cos, math.sin))
        axes = np.array([[ct * ca, ct * sa, -st], [-sa, ca, 0.0], [st * ca, st * sa, ct]])
        return axes / np.array(self.semi_axes)[:, None]

    def line_integral(self, points: Array, directions: Array) -> Array:
        """Return the exact integral over each line through ``points`` along unit ``directions``, both (..., 3)."""
        to_ball = self.to_ball().T
        p, q = (points - np.array(self.center)) @ to_ball, directions @ to_ball
        squared = np.einsum("...i,...i->...", q, q)
        distance = np.einsum("...i,...i->...", p, p) - np.einsum("...i,...i->...", p, q) ** 2 / squared
        beta = math.sqrt(math.pi) * math.gamma(self.power + 1) / math.gamma(self.power + 1.5)
        return np.asarray(self.value * beta * np.clip(1 - distance, 0, None) ** (self.power + 0.5) / np.sqrt(squared))

    def density(self, x: Array, y: Array, z: Array) -> Array:
        """Return the density at points (x, y, z), broadcast together."""
        offset = (x - self.center[0], y - self.center[1], z - self.center[2])
        inside = 1.0 - sum(
            (row[0] * offset[0] + row[1] * offset[1] + row[2] * offset[2]) ** 2 for row in self.to_ball()
        )
        return np.where(inside > 0, self.value * np.clip(inside, 0, None) ** self.power, 0.0)


def projections(shapes: Sequence[Ellipsoid], geometry: Geometry3D | ViewVectors) -> Float[np.ndarray, "angle v u"]:
    """Return the exact line integrals of the sum of ``shapes`` along the rays of ``geometry`` (float64).

    Raises InputError for a planar geometry.

    >>> from microlocal.core.geometry3d import FlatPanel, ParallelBeam3D
    >>> beam = ParallelBeam3D((0.0,), FlatPanel(1, 1, (1.0, 1.0)))
    >>> projections([Ellipsoid(2.0, (1.0, 3.0, 1.0))], beam).round(9).tolist()
    [[[12.0]]]
    """
    if not isinstance(geometry, Geometry3D | ViewVectors):
        do = "Ellipses and phantoms.sinogram are for planar geometries."
        got = type(geometry).__name__
        raise InputError("phantoms3d.projections", expected="a geometry of volumes", got=got, do=do)
    total = np.zeros(geometry.shape)
    vectors = geometry.to_vectors()
    for view in range(geometry.shape[0]):  # one view at a time: the rays of all of them would fill the memory
        one = ViewVectors(vectors.table[view : view + 1], vectors.rows, vectors.cols, diverging=vectors.diverging)
        points, directions = one.rays()
        for shape in shapes:
            total[view] += shape.line_integral(points, directions)[0]
    return total


def volume(shapes: Sequence[Ellipsoid], grid: VolumeGrid, oversampling: int = 4) -> Float[np.ndarray, "slice row col"]:
    """Return the mean density in every voxel from ``oversampling``³ points a voxel (float64).

    >>> volume([Ellipsoid(1.0, (9.0, 9.0, 9.0))], VolumeGrid((1, 1, 2), 1.0)).tolist()
    [[[1.0, 1.0]]]
    """
    at_least(oversampling, 1, "oversampling", "phantoms3d.volume")
    x, y, z = grid.coordinates()
    inner = ((np.arange(oversampling) + 0.5) / oversampling - 0.5) * grid.voxel
    total = np.zeros(grid.shape)
    for dz in inner:
        for dy in inner:
            for dx in inner:
                for shape in shapes:
                    total += shape.density((x + dx)[None, None], (y + dy)[None, :, None], (z + dz)[:, None, None])
    return total / oversampling**3
