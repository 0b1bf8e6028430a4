"""Whether geometry and grid belong together: their kinds, and every source outside of the grid.

The kernels integrate along whole lines, but a ray begins at its source: no ray's line may meet the grid behind it.
Where the detector stands does not matter.
"""

from dataclasses import replace

import numpy as np

from microlocal.core.errors import InputError
from microlocal.core.geometry import Array, FanBeam
from microlocal.core.grid import Grid
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume import VolumeGrid

LATTICE = 17  # the rays of a panel that are tried, a side, its border among them


def check_fan(geometry: FanBeam, grid: Grid, who: str) -> None:
    """Raise InputError where a ray's line meets ``grid`` behind the source."""
    left, right, bottom, top = grid.extent
    phi, t = geometry.lines()[0], geometry.angles
    sources = geometry.source_axis * np.stack((np.sin(t), -np.cos(t)), axis=-1)
    beams = np.stack((-np.sin(t), np.cos(t)), axis=-1)
    directions = np.stack((-np.sin(phi), np.cos(phi)), axis=-1)
    _check(sources, _behind(sources, beams, directions, np.array([[left, bottom], [right, top]])), who)


def check_cone(vectors: ViewVectors, grid: VolumeGrid, who: str) -> None:
    """Raise InputError where the line of one of the panel's rays (``LATTICE``) meets ``grid`` behind the source."""
    slices, rows, cols = grid.shape
    half = np.array([cols, rows, slices]) * grid.voxel / 2
    sources, middle, u, v = np.split(vectors.table, 4, axis=1)
    normal = np.cross(u, v)
    beams = normal * np.sign(np.einsum("vi,vi->v", normal, middle - sources))[:, None]
    directions = _thinned(vectors).rays()[1].reshape(len(sources), -1, 3)
    _check(sources, _behind(sources, beams, directions, np.array([-half, half]) + grid.center), who)


def _thinned(vectors: ViewVectors) -> ViewVectors:
    """Return the same panel with at most ``LATTICE`` rows and columns, the outermost pixels where they were."""
    rows, cols = (min(n, LATTICE) for n in (vectors.rows, vectors.cols))
    table = vectors.table.copy()
    table[:, 6:9] *= max(vectors.cols - 1, 1) / max(cols - 1, 1)
    table[:, 9:] *= max(vectors.rows - 1, 1) / max(rows - 1, 1)
    return replace(vectors, table=table, rows=rows, cols=cols)


def _behind(sources: Array, beams: Array, directions: Array, box: Array) -> Array:
    """Return the numbers of the views some of whose lines meet the ``box`` (2, k), its corners, behind the source.

    ``sources`` and ``beams``, the normals of the detectors, are (view, k), ``directions`` (view, ray, k).
    """
    nearest = np.where(beams > 0, box[0], box[1])
    doubtful = np.flatnonzero(np.einsum("vi,vi->v", nearest - sources, beams) < 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = (box[:, None, None] - sources[doubtful, None]) / directions[doubtful]
    # Where a line runs inside of a wall it is 0/0: such a wall is no limit.
    enter, leave = np.fmax.reduce(walls.min(axis=0), axis=-1), np.fmin.reduce(walls.max(axis=0), axis=-1)
    return np.asarray(doubtful[((enter < leave) & (enter < 0)).any(axis=-1)])


def _check(sources: Array, views: Array, who: str) -> None:
    if views.size:
        at = ", ".join(f"{x + 0.0:.4g}" for x in sources[views[0]])
        seen = f"{views.size} of {len(sources)} views"
        raise InputError(
            who,
            expected="a grid in front of the source in every view",
            got=f"a grid around or behind the source in {seen} (view {views[0]}: at {at})",
            do="Give a smaller grid, or check the distance source_axis and the size of a pixel.",
        )
