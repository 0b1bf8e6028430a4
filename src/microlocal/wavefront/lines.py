"""Lines through the points of an edge: place, normal and curvature of each with less noise than it was found with.

Neighbours of a point lie on a piece of a circle. With L the signed length of the chord to a neighbour along the edge,
φ the angle by which the chord leaves the tangent for the normal's side, and t by how much the neighbour's normal is
turned, both counted from the point's own normal,

    L φ = b - θ L + κ L²/2,      t = θ - κ s,      s the distance along the chord that halves the turn.

b moves the point along its normal, θ turns the normal, κ is the curvature, positive where the centre lies on the side
that the normal points to. Both equations are solved at once by least squares; places weigh as much more than normals
as these are noisier, which the lines of the image tell themselves.

No width of the window is best for all lines, and none may reach around a corner. So every point is asked with several
widths, with the neighbours of both sides and of one side alone, for a circle and for a straight line. An answer weighs
by the square of its inverse risk, the variance of θ: what its window leaves unexplained times what the window makes of
that.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from microlocal.core.geometry import Array

WIDTHS = (2.0, 3.2, 5.0, 8.0)  # standard deviations of the windows, pixels
REACH = 3.0  # standard deviations
TYPICAL = 1  # which of the widths measures the noise of the image
# Neighbours on one line: as far across, pixels, of alike direction.
ACROSS, ALIKE_RAD = 1.5, np.radians(35.0)
ONE_SIDE, FEWEST = 0.6, 4  # pixels by which a window of one side reaches to the other, and points in it
KNOWN = 2.0  # points with the usual noise that every window is believed to hold beside its own
ROUND = 0.01  # pixels², what κ is held at zero by where there are no neighbours
RATIO = (1e-4, 1.0)  # of the noise of normals (rad) and places (pixels), squared
Counts = NDArray[np.int64]


class Line(NamedTuple):
    """What is known of every point: ``shift`` along the normal, pixels, ``turn``, radians, ``curvature``, 1/pixel."""

    shift: Array
    turn: Array
    curvature: Array


class _Pairs(NamedTuple):
    """Points ``of`` and neighbours: the chord's ``length``, the distance ``along``, ``lift`` = L φ, ``turn`` = t."""

    points: int
    of: Counts
    length: Array
    along: Array
    lift: Array
    turn: Array

    def sums(self, values: NDArray[np.floating]) -> Array:
        """Sum over the neighbours of every point."""
        return np.asarray(np.bincount(self.of, values, self.points), dtype=np.float64)


class _Answer(NamedTuple):
    line: Array  # (point, 3): b, θ, κ
    spread: NDArray[np.floating]  # variance of θ for unit noise of normals
    unexplained: tuple[NDArray[np.floating], NDArray[np.floating]]  # mean squares of what places and normals leave
    weight: Array  # of all neighbours


def fitted(right: Array, up: Array, normal: Array) -> Line:
    """Return shift, turn and curvature of points at (right, up), pixels, with normals in radians."""
    if right.size == 0:
        return Line(np.zeros(0), np.zeros(0), np.zeros(0))
    pairs = _pairs(right, up, normal)
    ratio, noise = _noise(pairs)
    lines, risks = [], []
    for width in WIDTHS:
        for side in (0, -1, 1):
            weight = _window(pairs, width, side)
            few = (pairs.sums(1.0 * (weight > 0.1)) < FEWEST) if side else np.zeros(pairs.points, dtype=bool)
            for curved in (False, True):
                found = _solved(pairs, weight, ratio, curved)
                left = ratio * found.unexplained[0] + found.unexplained[1]
                left = (found.weight * left + 2 * KNOWN * noise) / (2 * found.weight + 2 * KNOWN)
                lines.append(found.line)
                risks.append(np.where(few, np.inf, left * found.spread))
    risk = np.array(risks)
    share = (risk.min(axis=0) / risk) ** 2
    line = np.einsum("wp,wpk->kp", share / share.sum(axis=0), np.array(lines))
    return Line(*line)


def _pairs(right: Array, up: Array, normal: Array) -> _Pairs:
    """Return every point with itself and with its neighbours on one line."""
    near = cKDTree(np.stack([right, up], axis=1)).query_pairs(REACH * max(WIDTHS), output_type="ndarray")
    own = np.arange(right.size)
    i, j = np.concatenate([near[:, 0], near[:, 1], own]), np.concatenate([near[:, 1], near[:, 0], own])
    turn = (normal[j] - normal[i] + np.pi / 2) % np.pi - np.pi / 2
    i, j, turn = (part[np.abs(turn) < ALIKE_RAD] for part in (i, j, turn))
    dx, dy = right[j] - right[i], up[j] - up[i]
    # Along and across the chord's own direction, so that neighbours on a circle count as on one line.
    middle = normal[i] + turn / 2
    alike = np.abs(dx * np.cos(middle) + dy * np.sin(middle)) < ACROSS
    i, dx, dy, turn, middle = (part[alike] for part in (i, dx, dy, turn, middle))
    along, lift = dy * np.cos(normal[i]) - dx * np.sin(normal[i]), dx * np.cos(normal[i]) + dy * np.sin(normal[i])
    length = np.copysign(np.hypot(along, lift), along)
    lift = length * np.arctan2(np.copysign(1.0, along) * lift, np.abs(along))
    return _Pairs(right.size, i, length, dy * np.cos(middle) - dx * np.sin(middle), lift, turn)


def _noise(pairs: _Pairs) -> tuple[float, float]:
    """Return how much more places are to weigh than normals, and the usual mean square that normals leave."""
    ratio, weight = 0.1, _window(pairs, WIDTHS[TYPICAL], 0)
    for _ in range(2):
        places, normals = (float(np.median(left)) for left in _solved(pairs, weight, ratio, True).unexplained)
        ratio = float(np.clip(normals / max(places, 1e-9), *RATIO))
    return ratio, max(normals, 1e-9)


def _window(pairs: _Pairs, width: float, side: int) -> Array:
    weight: Array = np.exp(-((pairs.along / width) ** 2) / 2)
    return weight if side == 0 else weight * (pairs.length * side > -ONE_SIDE)


def _solved(pairs: _Pairs, weight: Array, ratio: float, curved: bool) -> _Answer:
    """Solve the equations of every point, straight lines with κ = 0."""
    one, zero = np.ones_like(weight), np.zeros_like(weight)
    places, normals = [one, -pairs.length, pairs.length**2 / 2], [zero, one, -pairs.along]
    size = 3 if curved else 2
    matrix, sides, line = (
        np.empty((pairs.points, size, size)),
        np.empty((pairs.points, size)),
        np.zeros((pairs.points, 3)),
    )
    for k in range(size):
        sides[:, k] = pairs.sums(weight * (ratio * places[k] * pairs.lift + normals[k] * pairs.turn))
        for m in range(k, size):
            matrix[:, k, m] = pairs.sums(weight * (ratio * places[k] * places[m] + normals[k] * normals[m]))
            matrix[:, m, k] = matrix[:, k, m]
    total = pairs.sums(weight)
    if curved:
        matrix[:, 2, 2] += ROUND * total
    inverse = np.linalg.inv(matrix)
    line[:, :size] = np.einsum("pkm,pm->pk", inverse, sides)
    left = _left(pairs, pairs.lift, places, line), _left(pairs, pairs.turn, normals, line)
    return _Answer(
        line, inverse[:, 1, 1], (pairs.sums(weight * left[0]) / total, pairs.sums(weight * left[1]) / total), total
    )


def _left(pairs: _Pairs, told: Array, columns: list[Array], line: Array) -> Array:
    """Return the squares of what a point's line leaves of what its neighbours tell."""
    parts = np.stack([line[pairs.of, k] * column for k, column in enumerate(columns)])
    left: Array = (told - parts.sum(axis=0)) ** 2
    return left
