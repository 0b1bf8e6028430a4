"""What a scan of a volume can see: the surfaces it measures, by position and normal, before any reconstruction.

    (x, n) is visible  iff  a measured ray through x runs in the plane through x with normal n.

The rays through x come from where the source stands in the views that see x. So the plane has to meet the path of the
source, n·(x - s(t)) = 0 for one such t; of parallel rays the direction has to lie in it, n·d(t) = 0. Between two
neighbouring views the path is taken to be straight; arcs reach half a step beyond their outer views, as in the plane.

References: Quinto (1993); for cone beams Tuy (1983), Finch, Lan and Uhlmann (2003).
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.core.checks import at_least, finite, positive, real, trailing_shape
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.geometry import Array, usual_gap
from microlocal.core.geometry3d import Geometry3D
from microlocal.core.provenance import Provenance
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume import VolumeGrid
from microlocal.kernels.planes import SourcePath, planes_met
from microlocal.operators.ray_checks import check_volume_kinds
from microlocal.wavefront.fields import HYSTERESIS, STRONG, TINY, WEAK, hysteresis, parting
from microlocal.wavefront.thresholds import gradient_noise

Volume3D = Geometry3D | ViewVectors
# Balls of radius 6 to 24 voxels, rasterised with hard edges: the normal is off by up to 1.9° rms (two standard errors).
RASTER_ERROR_RAD = np.radians(4.0)
SMALLEST = 8  # voxels of a piece of surface
LEAPS = 2.5  # usual steps: what is longer is none, as ``usual_gap`` says


def surface_measured(
    geometry: Volume3D, points: Float[np.ndarray, "*point 3"], normals: Float[np.ndarray, "*point 3"]
) -> Bool[np.ndarray, "*point"]:
    """Return whether the surface through each point (x, y, z) with each normal is measured; both broadcast.

    Lengths in the geometry's unit; a normal may have any length and either sign. Raises ShapeError for arrays that do
    not broadcast to (*point, 3), InputError for those that are not finite, and for normals of length zero.

    Reference: Tuy (1983), Quinto (1993).

    >>> from microlocal.core import ConeBeam, FlatPanel
    >>> cone = ConeBeam(tuple(np.radians(np.arange(360.0))), FlatPanel(99, 99, (1.0, 1.0)), source_axis=50.0,
    ...                 source_detector=100.0)
    >>> surface_measured(cone, np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 9.0]]), np.array([0.02, 0.0, 1.0])).tolist()
    [True, False]
    """
    p, n = (np.asarray(values, dtype=np.float64) for values in (points, normals))
    try:
        p, n = np.broadcast_arrays(p, n)
    except ValueError:
        p = np.zeros(1)
    if p.ndim < 1 or p.shape[-1] != 3:
        got, do = f"{np.shape(points)} and {np.shape(normals)}", "Give (x, y, z) of points and of normals."
        raise ShapeError("surface_measured", expected="points and normals (*point, 3)", got=got, do=do)
    if not (np.isfinite(p).all() and np.isfinite(n).all() and n.any(axis=-1).all()):
        got, do = "nan, infinite, or a normal of length zero", "Leave these points out."
        raise InputError("surface_measured", expected="finite points and normals other than zero", got=got, do=do)
    flat = _met(_path(geometry), p.reshape(-1, 3), n.reshape(-1, 1, 3))
    found: NDArray[np.bool_] = flat.reshape(p.shape[:-1])
    return found


def surface_fraction(geometry: Volume3D, grid: VolumeGrid, normals: int = 256) -> Float[Tensor, "slice row col"]:
    """Return the fraction of surface normals that is measured at each voxel: 1 everything, 0 nothing.

    It answers "what could be missing here?", whatever the volume is; ``normals`` directions, spread evenly over the
    half sphere, are looked at, so that it is known to some 1/``normals``^(3/4).
    Raises InputError for a grid in another unit than the geometry's.

    >>> from microlocal.core import FlatPanel, ParallelBeam3D
    >>> tilts = ParallelBeam3D(tuple(np.radians(np.arange(-59.5, 60.0))), FlatPanel(9, 9, (1.0, 1.0)))
    >>> [round(share, 2) for share in surface_fraction(tilts, VolumeGrid((1, 1, 2), 1.0), 3000).flatten().tolist()]
    [0.67, 0.67]
    """
    check_volume_kinds(geometry, grid, "surface_fraction")
    directions = half_sphere(normals)[None]
    z, y, x = np.meshgrid(*grid.coordinates()[::-1], indexing="ij")
    points, path = np.stack([x, y, z], axis=-1).reshape(-1, 3), _path(geometry)
    shares = np.concatenate([_met(path, part, directions).mean(axis=1) for part in _chunks(points)])
    return torch.from_numpy(shares.reshape(grid.shape)).float()


def half_sphere(count: int) -> Float[np.ndarray, "{count} 3"]:
    """Return ``count`` unit vectors with z > 0 that share the half sphere evenly (a Fibonacci spiral)."""
    k = np.arange(at_least(count, 1, "normals", "half_sphere"))
    z, turn = (k + 0.5) / count, np.pi * (1 + 5**0.5) * k
    return np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)


def label_surfaces(
    volume: Float[Tensor, "*batch slice row col"], geometry: Volume3D, grid: VolumeGrid, *, sigma: float = 1.5
) -> UInt8[Tensor, "*batch slice row col"]:
    """Return for every voxel NONE, or MEASURED or UNDETERMINED for the surface that runs there (``core.provenance``).

    Surfaces are the maxima of the gradient at scale ``sigma`` (voxels) along itself, above the two thresholds of
    ``find_edges``. One counts as MEASURED only if its normal n is, and every normal that is δ = 4° + noise / |gradient|
    off in four directions: in doubt, undetermined.

    Raises ShapeError for a volume of another shape than the grid's, InputError for one that is complex or not finite
    and for a grid in another unit than the geometry's.
    """
    check_volume_kinds(geometry, grid, "label_surfaces")
    trailing_shape(volume, grid.shape, "slice, row, col", "label_surfaces", "Pass the grid it was reconstructed on.")
    positive(sigma, "sigma", "label_surfaces")
    finite(
        real(volume, "label_surfaces"),
        "label_surfaces",
        "Fill them first, as reconstruct does of an Observation with a Mask.",
    )
    codes = np.empty((math.prod(volume.shape[:-3]), *grid.shape), dtype=np.uint8)
    for own, values in zip(codes, volume.reshape(codes.shape), strict=True):
        own[:] = _labels(to_numpy(values.double()), geometry, grid, sigma)
    return torch.from_numpy(codes).reshape(volume.shape).to(volume.device)


def _labels(volume: Array, geometry: Volume3D, grid: VolumeGrid, sigma: float) -> NDArray[np.uint8]:
    codes = np.full(volume.shape, int(Provenance.NONE), dtype=np.uint8)
    place, normal, error = _surfaces(volume, sigma)
    sure = _surely(geometry, grid, place, normal, error)
    codes[tuple(place)] = np.where(sure, int(Provenance.MEASURED), int(Provenance.UNDETERMINED))
    return codes


def _surfaces(volume: Array, sigma: float) -> tuple[NDArray[np.int64], Array, Array]:
    """Return the voxels of surfaces (3, surface), their unit normals alike, and what these may be off by (radians)."""
    orders = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    gradient = np.stack([ndimage.gaussian_filter(volume, sigma, order, mode="nearest") for order in orders])
    strength = np.sqrt((gradient**2).sum(axis=0))
    # Rounding of the filter on a constant volume is no surface.
    noise = max(gradient_noise(strength), 1e-9 * float(np.abs(volume).max()))
    place = np.stack(np.nonzero(strength > WEAK * noise))
    own = strength[tuple(place)]
    normal = gradient[:, *place] / own
    ahead, behind = (ndimage.map_coordinates(strength, place + s * normal, order=1, mode="nearest") for s in (1, -1))
    top = (own > ahead) & (own >= behind)
    high = max(parting(own[top], WEAK * noise), STRONG * noise)
    thin = np.zeros(volume.shape)
    thin[tuple(place[:, top])] = own[top]
    kept = hysteresis(thin > max(HYSTERESIS * high, WEAK * noise), thin > high, SMALLEST)[tuple(place)]
    return place[:, kept], normal[:, kept], RASTER_ERROR_RAD + noise / np.maximum(own[kept], TINY)


def _surely(
    geometry: Volume3D, grid: VolumeGrid, place: NDArray[np.int64], normal: Array, error_rad: Array
) -> NDArray[np.bool_]:
    """Return whether the normals (slice, row, col) at these voxels, and all that are off by the error, are measured."""
    points = np.stack([axis[i] for axis, i in zip(grid.coordinates(), place[::-1], strict=True)], axis=1)
    n = np.stack([normal[2], -normal[1], normal[0]], axis=1)
    least = np.eye(3)[np.abs(n).argmin(axis=1)]
    across = np.cross(n, least)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    slope = np.tan(error_rad)[:, None]
    off = [slope * sign * side for side in (across, np.cross(n, across)) for sign in (1, -1)]
    tilted = np.stack([n, *(n + part for part in off)], axis=1)
    parts = zip(_chunks(points), _chunks(tilted), strict=True)
    path = _path(geometry)
    sure = [_met(path, p, t).all(axis=1) for p, t in parts]
    return np.concatenate(sure) if sure else np.zeros(0, dtype=bool)


def _path(geometry: Volume3D) -> SourcePath:
    """Return what the kernel needs to know of the views."""
    views, follows = path_of(geometry)
    start, middle, u, v = np.split(views.table, 4, axis=1)
    depth = middle - start if views.diverging else start
    maps = np.linalg.inv(np.stack([u, v, depth], axis=2))
    origins = start if views.diverging else middle
    half = np.array([views.cols / 2, views.rows / 2])
    starts, origins = np.ascontiguousarray(start), np.ascontiguousarray(origins)
    return SourcePath(starts, origins, maps, follows, half, views.diverging)


def _met(path: SourcePath, points: Array, normals: Array) -> NDArray[np.bool_]:
    """Return (point, normal), whether each plane is met; ``normals`` (point or 1, normal, 3)."""
    return planes_met(np.ascontiguousarray(points), np.ascontiguousarray(normals), path)


def path_of(geometry: Volume3D) -> tuple[ViewVectors, Bool[np.ndarray, " view"]]:
    """Return the views in the order of their path, and whether each follows the one before without a gap.

    The arcs of a geometry with angles begin and end half a step beyond its views. Views of a table follow in its
    order, or from near to near where its order leaps about (golden angles, two sources in turns), and where no step is
    unusually long; the last leads back to the first where that is near.
    """
    if isinstance(geometry, Geometry3D):
        angles, follows = [], []
        own = np.unique(geometry.angles)
        for first, last in geometry.midplane().arcs():
            arc = [first, *own[(own > first) & (own < last)], last]
            angles += arc
            follows += [False] + [True] * (len(arc) - 1)
        return replace(geometry, angles_rad=tuple(angles)).to_vectors(), np.array(follows)
    starts = geometry.table[:, :3]
    if not geometry.diverging:
        starts = starts / np.linalg.norm(starts, axis=1, keepdims=True)
    given, near_to_near = np.arange(len(starts)), _near_to_near(starts, geometry.diverging)
    typical = [np.quantile(_steps(starts[order], geometry.diverging), 0.8) for order in (given, near_to_near)]
    order = given if typical[0] <= LEAPS * typical[1] else near_to_near
    order = np.r_[order, order[0]]
    table = geometry.table[order]
    if not geometry.diverging:  # a line has two directions
        for k in range(1, len(table)):
            table[k, :3] *= 1.0 if table[k, :3] @ table[k - 1, :3] >= 0 else -1.0
    steps = _steps(starts[order], geometry.diverging)
    near = np.r_[steps[:-1] <= usual_gap(steps[:-1])[1], len(steps) > 2 and steps[-1] <= LEAPS * np.median(steps[:-1])]
    return replace(geometry, table=table), np.r_[False, near]


def _near_to_near(starts: Array, diverging: bool) -> NDArray[np.int64]:
    """Return the views so that each is the nearest of those left; one that is nearer to an earlier view follows that.

    So a path that is entered in its middle is joined there, and views may come more than once.
    """
    left = np.ones(len(starts), dtype=bool)
    close, by = np.full(len(starts), np.inf), np.zeros(len(starts), dtype=np.int64)
    order = [0]
    for _ in range(len(starts) - 1):
        here = order[-1]
        left[here] = False
        gaps = _distances(starts, starts[here], diverging)
        by[gaps < close], close = here, np.minimum(gaps, close)
        view = int(np.where(left, gaps, np.inf).argmin())
        order += [int(by[view]), view] if gaps[view] > LEAPS * close[view] else [view]
    return np.array(order)


def _steps(starts: Array, diverging: bool) -> Array:
    """Return the distance of every view from the one before it; of a single view, none to itself."""
    return _distances(starts[1:], starts[:-1], diverging) if len(starts) > 1 else np.zeros(1)


def _distances(starts: Array, other: Array, diverging: bool) -> Array:
    apart: Array = np.linalg.norm(starts - other, axis=-1)
    return apart if diverging else np.minimum(apart, np.linalg.norm(starts + other, axis=-1))


def _chunks(values: Array) -> Iterator[Array]:
    """Yield parts of some 10⁵ rows: bounds the working memory."""
    for first in range(0, len(values), 1 << 17):
        yield values[first : first + (1 << 17)]
