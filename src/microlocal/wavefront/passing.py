"""The directions in which an image is singular at a place, between the pixels too.

A line of points goes on between and a little beyond them as a circle: from a point at p with normal n and curvature κ,
a place at p + s t + d n (t the tangent) is passed at the distance d - κ s²/2, with the normal turned by -κ s.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from microlocal.core.errors import InputError
from microlocal.core.geometry import Array
from microlocal.wavefront.singularities import Singularities

REACH, WITHIN = 6.0, 0.5  # pixels: a line goes on so far from its points, and passes places so near
BESIDE = 1.5  # pixels from its nearest point to a place that no line passes so near
APART_RAD = np.radians(6.0)  # answers nearer to each other count as one


def directions_at(
    found: Singularities, row: Float[np.ndarray, " place"], col: Float[np.ndarray, " place"]
) -> list[Float[np.ndarray, " direction"]]:
    """Return the normals in [0, π) of all lines of ``found`` that pass within half a pixel of each place.

    ``row`` and ``col`` in pixels, fractions included. None pass where the image is smooth, one at most places of an
    edge, two or more where edges cross and at corners; where none does, the line of the nearest point counts if that
    is within 1.5 pixels. The nearest point's line comes first; normals that differ by less than 6 degrees are taken
    for those of one line.

    Raises InputError for rows and columns of different lengths, or not finite.

    Reference: Andrade-Loarca, Kutyniok, Öktem, Petersen (2019), whose networks classify these sets.

    >>> import microlocal as ml
    >>> image = np.tri(64)  # an edge along the diagonal
    >>> places = np.array([31.5]), np.array([32.0])
    >>> [np.degrees(normals).round().tolist() for normals in directions_at(ml.edges(image), *places)]
    [[45.0]]
    """
    places = np.atleast_1d(np.asarray(row, dtype=np.float64)), np.atleast_1d(np.asarray(col, dtype=np.float64))
    if places[0].shape != places[1].shape or places[0].ndim != 1:
        got = f"{places[0].shape} rows and {places[1].shape} columns"
        raise InputError("directions_at", expected="as many rows as columns", got=got, do="Give one of each per place.")
    if not all(np.isfinite(part).all() for part in places):
        got, do = "NaN or infinite ones", "Leave out places that are not known."
        raise InputError("directions_at", expected="finite rows and columns", got=got, do=do)
    near = cKDTree(np.stack([found.row, found.col], axis=1)).query_ball_point(np.stack(places, axis=1), REACH)
    return [_passing(found, np.array(n, dtype=int), *place) for n, *place in zip(near, *places, strict=True)]


def _passing(found: Singularities, near: np.ndarray, row: float, col: float) -> Array:
    """Return the normals of the lines through the points ``near``."""
    right, up = col - found.col[near], found.row[near] - row
    normal, curvature = found.direction_rad[near], found.curvature[near]
    along, ahead = up * np.cos(normal) - right * np.sin(normal), right * np.cos(normal) + up * np.sin(normal)
    gap, turned = np.hypot(right, up), normal - curvature * along
    nearest_first = np.argsort(gap, kind="stable")
    passes = np.abs(ahead - curvature * along**2 / 2) < WITHIN
    if not passes.any():
        nearest_first = nearest_first[:1]
        passes = gap < BESIDE
    different: list[float] = []
    for angle in turned[nearest_first[passes[nearest_first]]]:
        if all(abs(np.sin(angle - other)) > np.sin(APART_RAD) for other in different):
            different.append(float(angle))
    return np.array(different) % np.pi
