"""The general form of a geometry of volumes: the rays of every view, given by four vectors.

    ray (i, j) of a view runs through  c + (j - (cols-1)/2) u + (i - (rows-1)/2) v

from the source s (diverging rays) or along the direction s (parallel rays).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from microlocal.core.checks import at_least, numbers_of
from microlocal.core.errors import GeometryError
from microlocal.core.volume import VolumeGrid

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ViewVectors:
    """Arbitrary views of a volume by a flat panel, one row of twelve numbers each.

    Parameters: ``table`` (view, 12): source (or ray direction), middle of the panel, step from one column to the next
    (u), step from one row to the next (v), each as (x, y, z) in ``unit``; ``rows``, ``cols``; ``diverging``, whether
    the first three are a source. It is the order of ASTRA's ``cone_vec`` and ``parallel3d_vec``.

    Raises GeometryError for a table of another shape, or rays that run inside the panel's plane.

    >>> ViewVectors(np.array([[0.0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]]), 2, 3, diverging=False).shape
    (1, 2, 3)
    """

    table: Float[np.ndarray, "view 12"]
    rows: int
    cols: int
    diverging: bool = field(kw_only=True)
    unit: str = "mm"

    kind = "vectors"

    def __post_init__(self) -> None:
        for name in ("rows", "cols"):
            at_least(getattr(self, name), 1, name, "ViewVectors")
        table = np.array(self.table, dtype=np.float64)
        if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] != 12 or not np.isfinite(table).all():
            got = f"shape {table.shape}"
            raise GeometryError("ViewVectors", expected="finite numbers (view, 12)", got=got, do="Give a row a view.")
        table.flags.writeable = False
        object.__setattr__(self, "table", table)
        start, middle, u, v = np.split(table, 4, axis=1)
        beam = middle - start if self.diverging else start
        height = np.abs(np.einsum("vi,vi->v", np.cross(u, v), beam))
        if not (height > 1e-12 * np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)).all():
            raise GeometryError(
                "ViewVectors",
                expected="independent u and v, and rays that cross their plane",
                got=f"a degenerate view {int(np.argmin(height))}",
                do="Check the order: source or direction, middle of the panel, u, v.",
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (angle, v, u) of the data."""
        return self.table.shape[0], self.rows, self.cols

    def select(self, views: Sequence[int] | NDArray[np.int64]) -> "ViewVectors":
        """Return the geometry of the chosen views only. Raises InputError for numbers of views that are none."""
        return replace(self, table=self.table[numbers_of(views, len(self.table), "views", "ViewVectors.select")])

    def to_vectors(self) -> "ViewVectors":
        """Return itself: the form that every geometry has."""
        return self

    def rays(self) -> tuple[Array, Array]:
        """Return a point and the unit direction of every ray, both (angle, v, u, 3) as (x, y, z)."""
        start, middle, u, v = (part[:, None, None, :] for part in np.split(self.table, 4, axis=1))
        i = (np.arange(self.rows) - (self.rows - 1) / 2)[None, :, None, None]
        j = (np.arange(self.cols) - (self.cols - 1) / 2)[None, None, :, None]
        points = middle + j * u + i * v
        direction = points - start if self.diverging else np.broadcast_to(start, points.shape)
        return points, direction / np.linalg.norm(direction, axis=-1, keepdims=True)

    def in_grid(self, grid: VolumeGrid) -> Float[np.ndarray, "view 4 3"]:
        """Return source or direction, pixel (0, 0), steps u and v as fractional (slice, row, column) of ``grid``."""
        start, middle, u, v = np.split(self.table, 4, axis=1)
        corner = middle - (self.cols - 1) / 2 * u - (self.rows - 1) / 2 * v
        first = grid.points_to_indices(start) if self.diverging else grid.steps_to_indices(start)
        rest = (grid.points_to_indices(corner), grid.steps_to_indices(u), grid.steps_to_indices(v))
        return np.ascontiguousarray(np.stack((first, *rest), axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {
            "kind": self.kind,
            "table": self.table.tolist(),
            "rows": self.rows,
            "cols": self.cols,
            "diverging": self.diverging,
            "unit": self.unit,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "ViewVectors":
        """Rebuild from :meth:`to_dict`."""
        rest = {name: value for name, value in fields.items() if name not in ("kind", "table")}
        return cls(np.asarray(fields["table"], dtype=np.float64), **rest)
