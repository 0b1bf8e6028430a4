"""The digital wavefront set of an image: a list of points with directions, from what an edge model says of the pixels.

Each point stands on a line of others. Weighted by distance and strength, a straight line through the normals of its
neighbours, as a function of the arc length s,

    θ(s) = θ_0 - κ s,

gives a normal with less noise and the curvature κ. A filter of variance ℓ² along a curved edge finds it κ ℓ²/2 towards
the centre of curvature; that is taken back.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from microlocal.core.geometry import Array
from microlocal.wavefront.fields import Field

EDGE, RIDGE = 1, 2
KINDS = {EDGE: "edge", RIDGE: "ridge"}
# Neighbours: within three standard deviations of the weight along the edge, as far across, of alike direction.
ALONG, ACROSS, ALIKE_RAD = 2.5, 1.5, np.radians(35.0)


@dataclass(frozen=True, eq=False)
class Singularities:
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
    turn, curvature = _fitted(right, up, normal, strength)
    normal = normal + turn
    limit = 1 / np.sqrt(max(field.blur, 1.0))
    back = np.clip(curvature, -limit, limit) * field.blur / 2
    circle = np.pi if kind == RIDGE else 2 * np.pi
    return {
        "row": -(up - back * np.sin(normal)),
        "col": right - back * np.cos(normal),
        "direction_rad": normal % circle % circle,
        "kind": np.full(rows.shape, kind, dtype=np.uint8),
        "strength": strength,
        "curvature": curvature,
        "width": field.width[rows, cols],
        "provenance": np.zeros(rows.shape, dtype=np.uint8),
    }


def _fitted(right: Array, up: Array, normal: Array, strength: Array) -> tuple[Array, Array]:
    """Return by how much the line through the neighbours' normals turns each normal, and the curvature."""
    if right.size == 0:
        return np.zeros(0), np.zeros(0)
    places = np.stack([right, up], axis=1)
    pairs = cKDTree(places).query_pairs(3 * ALONG, output_type="ndarray")
    own = np.arange(right.size)
    i, j = np.concatenate([pairs[:, 0], pairs[:, 1], own]), np.concatenate([pairs[:, 1], pairs[:, 0], own])
    dx, dy = right[j] - right[i], up[j] - up[i]
    turn = (normal[j] - normal[i] + np.pi / 2) % np.pi - np.pi / 2
    middle = normal[i] + turn / 2
    # Along and across the chord's own direction, so that neighbours on a circle count as on one line.
    along, across = dy * np.cos(middle) - dx * np.sin(middle), dx * np.cos(middle) + dy * np.sin(middle)
    alike = (np.abs(across) < ACROSS) & (np.abs(turn) < ALIKE_RAD)
    weight = alike * np.exp(-((along / ALONG) ** 2) / 2) * strength[j]
    zero, first, second, value, moment = (
        np.bincount(i, weight * factor, right.size) for factor in (1.0, along, along**2, turn, turn * along)
    )
    spread = second * zero - first**2
    slope = np.where(spread > 0.1 * zero**2, (moment * zero - first * value) / np.where(spread > 0, spread, 1.0), 0.0)
    mean: Array = (value - slope * first) / zero
    return mean, -slope
