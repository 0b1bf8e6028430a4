"""The volume grid: cubic voxels, any box-shaped extent, placed anywhere.

Slice s runs along z, row r down and column c right; x points right and y up, as in a planar grid, so that the centre of
voxel (s, r, c) is

    x = x0 + (c - (cols - 1)/2) h,    y = y0 - (r - (rows - 1)/2) h,    z = z0 + (s - (slices - 1)/2) h.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microlocal.core.checks import point, positive, shape_of
from microlocal.core.grid import UNTOLD, Grid


@dataclass(frozen=True)
class VolumeGrid:
    """A box of cubic voxels.

    Parameters: ``shape`` (slices, rows, columns); ``voxel``, the side h of a voxel in ``unit``; ``center``, the point
    (x, y, z) of the middle of the volume relative to the origin, which lies on the axis of rotation, in ``unit``.
    Raises InputError for anything else.

    >>> [axis.tolist() for axis in VolumeGrid(shape=(1, 2, 3), voxel=0.5).coordinates()]
    [[-0.5, 0.0, 0.5], [0.25, -0.25], [0.0]]
    """

    shape: tuple[int, int, int]
    voxel: float
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    unit: str = UNTOLD

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", shape_of(self.shape, ["slice, row, col"], "VolumeGrid"))
        object.__setattr__(self, "center", point(self.center, "x, y, z", "center", "VolumeGrid"))
        positive(self.voxel, "voxel", "VolumeGrid")

    def coordinates(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return x of every column (cols,), y of every row (rows,) and z of every slice (slices,), in ``unit``."""
        x, y = self.plane.coordinates()
        slices = np.arange(self.shape[0], dtype=np.float64)
        return x, y, self.center[2] + (slices - (self.shape[0] - 1) / 2) * self.voxel

    def slab(self, slices: range) -> "VolumeGrid":
        """Return the grid of some slices in their places, ``slices`` without steps.

        >>> VolumeGrid((8, 2, 2), 1.0).slab(range(6, 8)).center
        (0.0, 0.0, 3.0)
        """
        z = self.center[2] + (slices.start + (len(slices) - 1) / 2 - (self.shape[0] - 1) / 2) * self.voxel
        return replace(self, shape=(len(slices), *self.shape[1:]), center=(*self.center[:2], z))

    def coarser(self, side: int) -> "VolumeGrid":
        """Return the grid of as large a volume in voxels ``side`` times as large, around the same middle.

        >>> VolumeGrid((8, 5, 1), 1.0).coarser(2).shape
        (4, 2, 1)
        """
        slices, rows, cols = (max(1, n // side) for n in self.shape)
        return replace(self, shape=(slices, rows, cols), voxel=self.voxel * side)

    @property
    def plane(self) -> Grid:
        """The planar grid of every slice."""
        return Grid((self.shape[1], self.shape[2]), self.voxel, (self.center[0], self.center[1]), self.unit)

    def points_to_indices(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the fractional (slice, row, column) of points (..., 3) given as (x, y, z): the inverse of above."""
        x, y, z = self.coordinates()
        first = np.array([z[0], y[0], x[0]])
        return np.asarray((points[..., ::-1] - first) * self._signs())

    def steps_to_indices(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (slice, row, column) components of vectors (..., 3) given as (x, y, z)."""
        return np.asarray(vectors[..., ::-1] * self._signs())

    def _signs(self) -> NDArray[np.float64]:
        return np.array([1.0, -1.0, 1.0]) / self.voxel

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self) | {"shape": list(self.shape), "center": list(self.center)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "VolumeGrid":
        """Rebuild a grid from :meth:`to_dict`."""
        slices, rows, cols = (int(n) for n in fields["shape"])
        x, y, z = (float(v) for v in fields.get("center", (0.0, 0.0, 0.0)))
        return cls((slices, rows, cols), float(fields["voxel"]), (x, y, z), str(fields.get("unit", "mm")))
