"""Whether geometry and grid belong together: their kinds, one unit of length, and every source outside of the grid.

The kernels integrate along whole lines, but a ray begins at its source: no ray's line may meet the grid behind it.
Where the detector stands does not matter.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from microlocal.core.errors import InputError
from microlocal.core.geometry import Array, FanBeam, Geometry
from microlocal.core.geometry3d import Geometry3D
from microlocal.core.grid import UNTOLD, Grid
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume import VolumeGrid

LATTICE = 17  # the rays of a panel that are tried, a side, its border among them


def check_plane(geometry: Geometry, grid: Grid, who: str) -> None:
    """Raise InputError for other kinds, two units, or a grid that a ray's line meets behind the source."""
    if not isinstance(geometry, Geometry) or not isinstance(grid, Grid):
        expected = "a planar geometry (ParallelBeam, FanBeam) and a Grid"
        do = "Volumes are for RayTransform3D, fdk and fbp_volume."
        raise InputError(who, expected=expected, got=_kinds(geometry, grid), do=do)
    _check_unit(geometry, grid, who)
    if isinstance(geometry, FanBeam):
        _check_fan(geometry, grid, who)


def check_volume(geometry: Geometry3D | ViewVectors, grid: VolumeGrid, who: str) -> None:
    """Raise InputError for other kinds, two units, or a volume that the line of a ray meets behind the source.

    Of a panel ``LATTICE`` rows and columns of rays are tried.
    """
    check_volume_kinds(geometry, grid, who)
    if geometry.to_vectors().diverging:
        _check_cone(geometry.to_vectors(), grid, who)


def check_volume_kinds(geometry: Geometry3D | ViewVectors, grid: VolumeGrid, who: str) -> None:
    """Raise InputError for what is no geometry or grid of volumes, or for two units."""
    if not isinstance(geometry, Geometry3D | ViewVectors) or not isinstance(grid, VolumeGrid):
        expected = "a geometry of volumes (ConeBeam, ParallelBeam3D, ViewVectors) and a VolumeGrid"
        do = "Images are for RayTransform and filtered_backprojection."
        raise InputError(who, expected=expected, got=_kinds(geometry, grid), do=do)
    _check_unit(geometry, grid, who)


def _kinds(geometry: object, grid: object) -> str:
    return f"{type(geometry).__name__} and {type(grid).__name__}"


def _check_unit(geometry: Geometry | Geometry3D | ViewVectors, grid: Grid | VolumeGrid, who: str) -> None:
    if grid.unit not in (geometry.unit, UNTOLD):
        expected, got = f"a grid in the unit of the geometry, {geometry.unit!r}", f"one in {grid.unit!r}"
        do = f"Give the grid's lengths in {geometry.unit} and say so: unit={geometry.unit!r}."
        raise InputError(who, expected=expected, got=got, do=do)


def _check_fan(geometry: FanBeam, grid: Grid, who: str) -> None:
    left, right, bottom, top = grid.extent
    t, box = geometry.angles, np.array([[left, bottom], [right, top]])
    beams = np.stack((-np.sin(t), np.cos(t)), axis=-1)
    sources = -geometry.source_axis * beams
    doubtful = _beyond(sources, beams, box)
    if doubtful.size:
        phi = geometry.select(doubtful).lines()[0]
        directions = np.stack((-np.sin(phi), np.cos(phi)), axis=-1)
        _refuse(sources, doubtful[_behind(sources[doubtful], directions, box)], who)


def _check_cone(vectors: ViewVectors, grid: VolumeGrid, who: str) -> None:
    half = np.array(grid.shape[::-1]) * grid.voxel / 2
    sources, middle, u, v = np.split(vectors.table, 4, axis=1)
    box, normal = np.array([-half, half]) + grid.center, np.cross(u, v)
    beams = normal * np.sign(np.einsum("vi,vi->v", normal, middle - sources))[:, None]
    doubtful = _beyond(sources, beams, box)
    if doubtful.size:
        directions = _thinned(vectors, doubtful).rays()[1].reshape(doubtful.size, -1, 3)
        _refuse(sources, doubtful[_behind(sources[doubtful], directions, box)], who)


def _thinned(vectors: ViewVectors, views: NDArray[np.int64]) -> ViewVectors:
    """Return some views of the panel by at most ``LATTICE`` rows and columns, the outermost pixels where they were."""
    rows, cols = (min(n, LATTICE) for n in (vectors.rows, vectors.cols))
    table = vectors.table[views]
    table[:, 6:9] *= max(vectors.cols - 1, 1) / max(cols - 1, 1)
    table[:, 9:] *= max(vectors.rows - 1, 1) / max(rows - 1, 1)
    return replace(vectors, table=table, rows=rows, cols=cols)


def _beyond(sources: Array, beams: Array, box: Array) -> NDArray[np.int64]:
    """Return the views where some of the ``box``, its corners (2, k), lies beyond the source's plane.

    That is the plane through the source along the detector; ``sources`` and its normals ``beams`` are (view, k).
    """
    nearest = np.where(beams > 0, box[0], box[1])
    return np.flatnonzero(np.einsum("vi,vi->v", nearest - sources, beams) < 0)


def _behind(sources: Array, directions: Array, box: Array) -> NDArray[np.bool_]:
    """Return the views some of whose lines (view, ray, k) meet the ``box`` behind their source (view, k)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = (box[:, None, None] - sources[:, None]) / directions
    # Where a line runs inside of a wall it is 0/0: such a wall is no limit.
    enter, leave = np.fmax.reduce(walls.min(axis=0), axis=-1), np.fmin.reduce(walls.max(axis=0), axis=-1)
    return np.asarray(((enter < leave) & (enter < 0)).any(axis=-1))


def _refuse(sources: Array, views: NDArray[np.int64], who: str) -> None:
    if views.size:
        at = ", ".join(f"{x + 0.0:.4g}" for x in sources[views[0]])
        seen = f"{views.size} of {len(sources)} views"
        raise InputError(
            who,
            expected="a grid in front of the source in every view",
            got=f"a grid around or behind the source in {seen} (view {views[0]}: at {at})",
            do="Give a smaller grid (corners count, since rays are whole lines), or check source_axis and the pixel.",
        )
