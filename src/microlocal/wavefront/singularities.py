"""The digital wavefront set of an image: a list of points with directions, from what an edge model says of the pixels.

Each point stands on a line of others, which tells its place, normal and curvature with less noise (``lines``). A filter
of variance ℓ² along a curved edge finds it κ ℓ²/2 towards the centre of curvature; that is taken back.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from microlocal.core.brief import Brief
from microlocal.wavefront.fields import Field
from microlocal.wavefront.lines import fitted

EDGE, RIDGE = 1, 2
KINDS = {EDGE: "edge", RIDGE: "ridge"}


@dataclass(frozen=True, eq=False, repr=False)
class Singularities(Brief):
    """Points of an image's wavefront set, all arrays (point,), strongest first.

    ``row``, ``col``, pixels, fractions included (pixel centres are whole numbers); ``direction_rad``, the normal, x
    right and y up: in [0, 2π) and towards the bright side for edges, in [0, π) for ridges; ``kind``, EDGE or RIDGE;
    ``strength`` in grey levels (a probability for networks); ``curvature``, 1/pixel, positive where the centre lies on
    the side that the normal points to; ``width`` of ridges, pixels, else NaN; ``provenance``, codes of
    ``core.provenance``, 0 without a scan. ``edge`` and ``ridge`` hold the dense fields, (row, col) arrays.
    """

    row: Float[np.ndarray, " point"]
    col: Float[np.ndarray, " point"]
    direction_rad: Float[np.ndarray, " point"]
    kind: UInt8[np.ndarray, " point"]
    strength: Float[np.ndarray, " point"]
    curvature: Float[np.ndarray, " point"]
    width: Float[np.ndarray, " point"]
    provenance: UInt8[np.ndarray, " point"]
    edge: Field
    ridge: Field | None = None

    def __len__(self) -> int:
        return len(self.row)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (row, col) of the image."""
        rows, cols = self.edge.strength.shape
        return rows, cols

    @property
    def tangent_rad(self) -> Float[np.ndarray, " point"]:
        """The direction of the edge itself, in [0, π)."""
        return (self.direction_rad + np.pi / 2) % np.pi

    def outside(self, area: Bool[np.ndarray, "row col"]) -> "Singularities":
        """Return the points whose pixels do not lie in ``area``, a mask of the image; the dense fields stay whole."""
        rows, cols = (np.rint(place).astype(int) for place in (self.row, self.col))
        kept = ~area[rows.clip(0, self.shape[0] - 1), cols.clip(0, self.shape[1] - 1)]
        columns = {f.name: getattr(self, f.name)[kept] for f in fields(self) if f.name not in ("edge", "ridge")}
        return replace(self, **columns)

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name, directions in degrees, as files hold them."""
        return {
            "row": self.row,
            "col": self.col,
            "direction_deg": np.degrees(self.direction_rad),
            "kind": np.array([KINDS[int(k)] for k in self.kind], dtype="U5"),
            "strength": self.strength,
            "curvature": self.curvature,
            "width": self.width,
            "provenance": self.provenance,
        }


def collected(edge: Field, ridge: Field | None = None) -> Singularities:
    """Return the points of the fields that pass the fields' own thresholds, strongest first."""
    parts = [_points(edge, EDGE)] + ([] if ridge is None else [_points(ridge, RIDGE)])
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((columns["col"], columns["row"], -columns["strength"]))
    return Singularities(**{name: column[order] for name, column in columns.items()}, edge=edge, ridge=ridge)


def _points(field: Field, kind: int) -> dict[str, NDArray[np.generic]]:
    rows, cols = np.nonzero(field.mask())
    normal, strength = field.normal_rad[rows, cols], field.strength[rows, cols]
    # Lengths in pixels with y up: row = -y.
    right = cols + field.offset[rows, cols] * np.cos(normal)
    up = -rows + field.offset[rows, cols] * np.sin(normal)
    shift, turn, curvature = fitted(right, up, normal)
    limit = 1 / np.sqrt(max(field.blur, 1.0))
    shift = shift - np.clip(curvature, -limit, limit) * field.blur / 2
    right, up, normal = right + shift * np.cos(normal), up + shift * np.sin(normal), normal + turn
    circle = np.pi if kind == RIDGE else 2 * np.pi
    return {
        "row": -up,
        "col": right,
        "direction_rad": normal % circle % circle,
        "kind": np.full(rows.shape, kind, dtype=np.uint8),
        "strength": strength,
        "curvature": curvature,
        "width": field.width[rows, cols],
        "provenance": np.zeros(rows.shape, dtype=np.uint8),
    }
